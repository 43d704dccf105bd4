"""The yardstick: plainly written code that belongs to the tests, not to what is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from lightning_modules.errors import ConfigurationError

PATH = Path("tests") / "yardstick.py"


def load_yardstick() -> ModuleType:
    """Load the yardstick from the checkout that this package was installed from.

    Raises:
        ConfigurationError: If the package was installed without its tests.
    """
    path = Path(__file__).resolve().parents[2] / PATH
    specification = importlib.util.spec_from_file_location("yardstick", path)
    if not path.is_file() or specification is None or specification.loader is None:
        raise ConfigurationError(
            f"{path} is not there: what bench compares with lies in the repository only; run it from a checkout"
        )
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
