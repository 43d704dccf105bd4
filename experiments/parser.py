"""An argument parser that tells a mistake in one line."""

import sys
from typing import NoReturn

from jsonargparse import ArgumentParser


class OneLineErrors(ArgumentParser):
    """Prints what is wrong with the command line in one line and exits with status 2."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the message without the usage, which `--help` shows."""
        print(f"{self.prog.split(' [')[0]}: error: {' '.join(message.split())}", file=sys.stderr)
        sys.exit(2)
