"""Attribution maps of the reconstruction error, one class per method, and the callback that computes them."""

import lazy_loader

# Names are imported when they are first used: reading examples of maps does without Captum and Lightning.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
