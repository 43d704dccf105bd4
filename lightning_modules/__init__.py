"""Backbones, masking, and the two training objectives as LightningModules over one base."""

import lazy_loader

# Names are imported when they are first used: commands that train nothing do without Lightning, which takes seconds.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
