"""The parser of the commands that take a DataModule: the four stages and `detect`."""

import re
from typing import Any, NoReturn, Union, get_args

from lightning.pytorch.cli import LightningArgumentParser

from datamodules import AudioFolderDataModule, DCASEDataModule, MIMIIDataModule, PlanerDataModule
from experiments.cli.parser import OneLineErrors
from lightning_modules import Autoencoder, MaskedAutoencoder

# What `--model` and `--data` take by their short names, which are looked up among the classes imported here.
CHOICES = {
    "model": (Autoencoder, MaskedAutoencoder),
    "data": (PlanerDataModule, DCASEDataModule, AudioFolderDataModule, MIMIIDataModule),
}


class ExperimentParser(OneLineErrors, LightningArgumentParser):
    """A LightningArgumentParser that takes no abbreviations and tells a mistake in one line."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, allow_abbrev=False, **kwargs)

    def add_lightning_class_args(self, *args: Any, **kwargs: Any) -> list[str]:
        """Add a class's arguments; where one takes whole numbers as well as others, 1 is a whole number.

        The members of a union are tried in their order, which `typing` may turn round: of unions that are equal it
        keeps the one that was made first, in whatever library. A limit of 1 batch became a share of 1.0, all of them.
        """
        added: list[str] = super().add_lightning_class_args(*args, **kwargs)
        for action in self._actions:
            members = get_args(getattr(action, "_typehint", None))
            if {int, float} <= set(members):
                in_order = [each for member in members for each in ((int, float) if member is float else (member,))]
                action._typehint = Union[tuple(dict.fromkeys(in_order))]  # noqa: UP007
        return added

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Say what is wrong in one line; for a class that does not exist, those that do."""
        for option, classes in CHOICES.items():
            unknown = re.search(rf'Parser key "{option}":\s+- Expected a path but (\S+) either', message)
            if unknown:
                names = ", ".join(choice.__name__ for choice in classes)
                message = f"--{option} {unknown[1]} does not exist; choose one of {names}"
        unaccepted = re.search(
            r"Parser key \"(\w+)\":.*?class_path '([\w.]+)':.*?Option '([\w.]+)' is not accepted", message, re.DOTALL
        )
        if unaccepted:
            section, path, name = unaccepted.groups()
            message = f"--{section}.{name} does not exist: {path} has no such option"
        # The parser knows the run's folder as `fit.run`.
        super().error(re.sub(r"(?<=required: )\w+\.(\w+)", r"--\1", message), ex)
