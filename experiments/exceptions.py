"""What exceptions of libraries say, for the messages of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lightning_modules.errors import ConfigurationError


def first_line(error: Exception) -> str:
    """The first line of what an exception says, its type where it says nothing."""
    return (str(error) or type(error).__name__).splitlines()[0]


@contextmanager
def refusals_are_mistakes() -> Iterator[None]:
    """Make a ConfigurationError of what the constructors refuse that a configuration names."""
    try:
        yield
    except ValueError as error:
        cause: BaseException = error
        while cause.__cause__ is not None:  # under what the parser put around it
            cause = cause.__cause__
        raise ConfigurationError(str(cause)) from error
