"""Annotated intervals of clips: reading three file formats, joining to clips, frame masks, checks and conversion.

The formats are the planer authors' CSV (:mod:`~datamodules.annotations.authors`), a plain CSV in seconds
(:mod:`~datamodules.annotations.reading`) and Audacity's label tracks (:mod:`~datamodules.annotations.audacity`).
"""

import lazy_loader

# Names are imported when they are first used: reading does without PyTorch, which takes seconds.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
