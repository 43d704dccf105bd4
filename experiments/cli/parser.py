"""An argument parser that tells a mistake in one line."""

from argparse import ArgumentError
from typing import Any, NoReturn

from jsonargparse import ArgumentParser

from lightning_modules.errors import ConfigurationError


class OneLineErrors(ArgumentParser):
    """Raises what is wrong with the command line, for `main` to print, or a study to say whose option it is.

    Args:
        hint: Is added where an option is unknown.
    """

    def __init__(self, *args: Any, hint: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._hint = hint

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise the message without the usage, which `--help` shows.

        Raises:
            ArgumentError: From a parser that jsonargparse uses inside of another one, which expects it.
            ConfigurationError: From every other.
        """
        if not self.exit_on_error:
            raise ArgumentError(None, message) from ex
        hint = self._hint if message.startswith("unrecognized arguments") else ""
        raise ConfigurationError(" ".join(message.split()) + hint) from ex
