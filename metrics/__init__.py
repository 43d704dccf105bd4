"""Measures of detection and of explanations: pure functions, metrics that keep state, and callbacks."""

import lazy_loader

# Names are imported when they are first used: the functions do without torchmetrics and Lightning.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
