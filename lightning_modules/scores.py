"""The error of a reconstruction, from which scores and error maps are made."""

from torch import Tensor


def squared_error(x: Tensor, reconstruction: Tensor) -> Tensor:
    """The error map (B, F, T) in dB²; its mean over a clip is its anomaly score (paper section 3.2)."""
    return (reconstruction - x).square()
