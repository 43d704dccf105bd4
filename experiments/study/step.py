"""The process of a step: an ordinary command that does not outlive its study."""

from __future__ import annotations

import ctypes
import signal
import sys

from experiments.cli.main import main

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

if __name__ == "__main__":
    if sys.platform == "linux":
        # A study that was killed can't stop its steps, and its next start would work beside them.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    sys.exit(main())
