"""From a file on disk to a batch: layouts, front end, annotations and DataModules."""

import lazy_loader

# Names are imported when they are first used: the simulator does without Lightning and torchaudio, which take seconds.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
