"""The page that describes a data set."""

import lazy_loader

# Imported when they are first used: Matplotlib takes half a second.
__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules={"figures"})
