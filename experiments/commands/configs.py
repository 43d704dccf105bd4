"""`faithful-aad configs`: the configurations that come with the package, listed, shown and copied."""

from __future__ import annotations

from pathlib import Path

from experiments.configs import USES, find_shipped, shipped_configs
from lightning_modules.errors import ConfigurationError
from lightning_modules.files import write_atomically


def list_configs() -> None:
    """List the configurations of the package; `configs show NAME` prints one, `configs copy NAME [FILE]` copies it."""
    width = max(map(len, shipped_configs()))
    for use, command in USES.items():
        print(f"{command}\n")
        for name, config in shipped_configs(use).items():
            print(f"  {name:{width}}  {config.summary}")
        print()
    print("configs show NAME prints one, configs copy NAME [FILE] copies it for editing.")


def show(name: str) -> None:
    """Print a configuration that comes with the package."""
    print(find_shipped(name).path.read_text(encoding="utf-8"), end="")


def copy(name: str, file: str | None = None) -> None:
    """Copy a configuration that comes with the package, for editing; no file is overwritten.

    Args:
        name: Its name.
        file: The file or folder to write; a file in the current folder by default.

    Raises:
        ConfigurationError: If the configuration does not exist, or the file already does.
    """
    config = find_shipped(name)
    path = Path(file or ".")
    path = path / config.path.name if path.is_dir() else path
    if path.exists():
        raise ConfigurationError(f"{path} already exists; name another file: faithful-aad configs copy {name} FILE")
    write_atomically(path, config.path.read_bytes())
    print(path)
