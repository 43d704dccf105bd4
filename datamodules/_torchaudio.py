"""torchaudio, imported so that it also works where its compiled part cannot be loaded.

The wheels of torchaudio's last series link CUDA, and a plain import fails beside a CPU build of torch. What
is used of it here, transforms and resampling, is written in plain PyTorch, so a stand-in for the compiled
part is enough.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType


def _import_torchaudio() -> ModuleType:
    try:
        return importlib.import_module("torchaudio")
    except ModuleNotFoundError:
        raise
    except (ImportError, OSError):
        _forget_torchaudio()
        sys.modules["torchaudio._extension"] = _extension_stub()
        return importlib.import_module("torchaudio")


def _forget_torchaudio() -> None:
    """Remove what a failed import left behind, so that the next one starts afresh."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
        del sys.modules[name]


def _extension_stub() -> ModuleType:
    stub = ModuleType("torchaudio._extension", "Stands in for the compiled part of torchaudio.")
    stub.__dict__.update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        fail_if_no_align=lambda function: function,
    )
    return stub


torchaudio = _import_torchaudio()
