"""The configurations that come with the package, found by their names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lightning_modules.errors import ConfigurationError

USES = {
    "fit": "faithful-aad fit --config NAME",
    "study": "faithful-aad study NAME",
    "wandb": "wandb sweep FILE, after configs copy NAME",
    "sbatch": "sbatch FILE, after configs copy NAME",
}
"""How the files of each use are given to the command that takes them."""

_PATTERNS = {
    "fit": ("*.yaml", "cluster/*.yaml"),
    "study": ("studies/*.yaml",),
    "wandb": ("sweeps/*.yaml",),
    "sbatch": ("cluster/*.sbatch",),
}
_FOLDER = Path(__file__).parent
_NAME = re.compile(r"[\w-]+")


@dataclass(frozen=True)
class ShippedConfig:
    """A configuration that comes with the package.

    Attributes:
        path: Its file.
        use: What it is for, a key of `USES`.
    """

    path: Path
    use: str

    @property
    def name(self) -> str:
        """The file's name, without the suffix of a YAML."""
        return self.path.name.removesuffix(".yaml")

    @property
    def summary(self) -> str:
        """The first comment line."""
        lines = self.path.read_text(encoding="utf-8").splitlines()
        return next(line for line in lines if line.startswith("# ")).removeprefix("# ")


def shipped_configs(*uses: str) -> dict[str, ShippedConfig]:
    """The configurations of some uses, by default of all, by name.

    Example:
        >>> list(shipped_configs("wandb", "sbatch"))
        ['mae', 'multi_node.sbatch']
    """
    files = ((use, pattern) for use in uses or USES for pattern in _PATTERNS[use])
    configs = (ShippedConfig(path, use) for use, pattern in files for path in sorted(_FOLDER.glob(pattern)))
    return {config.name: config for config in configs}


def find_shipped(name: str) -> ShippedConfig:
    """The configuration of a name.

    Raises:
        ConfigurationError: If there is none; the message lists the names.
    """
    configs = shipped_configs()
    if name not in configs:
        raise ConfigurationError(f"the configuration {name!r} does not exist; choose one of {', '.join(configs)}")
    return configs[name]


def config_file(given: str, use: str, what: str) -> Path:
    """The file that a command was given, or that comes with the package under this name; an existing file always wins.

    Args:
        given: A path or a name.
        use: What it is for, a key of `USES`.
        what: What the message calls it, such as the option it was given with.

    Returns:
        The file, which may be missing where `given` can't be a name.

    Raises:
        ConfigurationError: If it could be a name, but is none of this use.
    """
    path = Path(given)
    return path if path.is_file() else shipped_file(given, use, what) or path


def shipped_file(name: str, use: str, what: str) -> Path | None:
    """The file that comes with the package under a name; arguments and errors are those of `config_file`.

    Returns:
        The file; None if the name has a folder or a suffix, and so is a path.
    """
    if not _NAME.fullmatch(name):
        return None
    choices = shipped_configs(use)
    if name in choices:
        return choices[name].path
    of_another = shipped_configs().get(name)
    reason = f"is for {USES[of_another.use]}" if of_another else "is not a file"
    raise ConfigurationError(
        f"{what} {name} {reason}; name a YAML file, or choose a configuration of the package: {', '.join(choices)}"
    )
