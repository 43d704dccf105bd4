"""Lightning callbacks that measure detection and explanations while a model is validated or tested."""

import lazy_loader

# Names are imported when they are first used, as in the packages above.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
