"""Measures of detection and of explanations: the list of them, pure functions, metrics that keep state, callbacks."""

import lazy_loader

# Names are imported when they are first used: reading the list of measures does without torchmetrics and Lightning.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
