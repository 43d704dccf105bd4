"""Pure functions on tensors: clips first, then (where there are several) percentiles, then frames."""

import lazy_loader

# Names are imported when they are first used, as SciPy takes a second.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
