"""Checkpoint files that are there as a whole or not at all, and what can be used of those that are damaged."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins import TorchCheckpointIO

from experiments.exceptions import first_line
from lightning_modules.errors import ConfigurationError
from lightning_modules.files import whole_file


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the file and renames.

    Lightning's own way goes through the machine's temporary folder, from where a file on another disk is copied:
    who is killed meanwhile leaves a part of it.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write a checkpoint; an older one stays until the new one is complete."""
        with whole_file(Path(path)) as temporary, temporary.open("wb") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:
                if isinstance(error.__context__, OSError):  # the reason, which torch leaves out of its message
                    raise error.__context__ from None
                raise
            file.flush()
            os.fsync(file.fileno())


def read_checkpoint(path: Path) -> Mapping[str, Any]:
    """Read a checkpoint of `fit`, without running anything it may hold.

    Raises:
        ConfigurationError: If it is missing, damaged or something else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # Torch itself reads weights without a look at their checksums.
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"{damaged} is damaged")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path} does not exist; run faithful-aad fit first, or name a checkpoint with --ckpt_path"
        ) from None
    except Exception as error:  # unpickling raises whatever it likes
        raise ConfigurationError(f"{path} is not a checkpoint of `fit`, or damaged ({first_line(error)})") from error
    if not isinstance(checkpoint, dict) or "hyper_parameters" not in checkpoint:
        raise ConfigurationError(f"{path} is not a checkpoint of `fit`: it holds no hyperparameters")
    return checkpoint


def first_intact(paths: Iterable[Path]) -> tuple[Path, Mapping[str, Any]] | None:
    """The first of some checkpoints that can be used, and what it holds; the others are told on standard error."""
    for path in paths:
        try:
            return path, read_checkpoint(path)
        except ConfigurationError as error:  # noqa: PERF203  there are two or three
            print(f"warning: {error}", file=sys.stderr)
    return None
