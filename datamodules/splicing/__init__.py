"""An annotated test set from real recordings that nobody annotated: pieces of anomalous clips in normal ones."""

from datamodules.splicing.dataset import splice

__all__ = ["splice"]
