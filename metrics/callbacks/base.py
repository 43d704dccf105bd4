"""What the metric callbacks share: the clips they have seen, and where their tables are written."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lightning_modules.callbacks import EvaluationHooks, is_fitting, run_folder
from lightning_modules.distributed import gather_objects
from lightning_modules.files import write_table


class EvaluationCallback(EvaluationHooks):
    """Feeds metrics with the labelled clips of validation and test.

    At the end of an epoch scalars are logged through the module as ``{val|test}/...``. ``validate`` and ``test``, but
    not the validation inside ``fit``, also write a table with the rows of each clip, sorted by index, to ``filename``
    in the trainer's ``log_dir``, on the first process.

    A batch has ``label`` (B,), ``index`` (B,), ``annotated`` (B,), ``name`` and ``anomaly_type`` (lists of str);
    subclasses document what else they read.
    """

    filename: ClassVar[str]

    def __init__(self) -> None:
        self._clips: dict[int, tuple[str, int, str, int]] = {}

    def start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the clips of the last epoch."""
        self._clips = {}

    @abstractmethod
    def evaluate(self, pl_module: LightningModule, stage: str) -> pd.DataFrame:
        """Log the scalars of a stage ("val" or "test") and return the rows of its clips, sorted by ``index``.

        Runs on every process and returns the same on each.
        """

    def finish(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Log, and write rows where ``validate`` or ``test`` runs."""
        rows = self.evaluate(pl_module, stage)
        if rows.empty or is_fitting(trainer):
            return
        folder = run_folder(trainer)
        if trainer.is_global_zero:
            self.write(folder, rows)

    def write(self, folder: Path, rows: pd.DataFrame) -> None:
        """Write the rows; runs on the first process only."""
        write_table(folder / self.filename, rows)

    def remember(self, batch: Mapping[str, Any], positions: Iterable[int]) -> None:
        """Keep what is known of the clips at these positions of a batch."""
        index, label, annotated = (batch[key].tolist() for key in ("index", "label", "annotated"))
        for i in positions:
            self._clips[index[i]] = (batch["name"][i], label[i], batch["anomaly_type"][i], int(annotated[i]))

    def gather_clips(self) -> pd.DataFrame:
        """Collect the clips that any process has seen; every process must call it.

        Returns:
            name, label, anomaly_type and annotated of each clip, by increasing index.
        """
        clips = {index: clip for part in gather_objects(self._clips) for index, clip in part.items()}
        columns = ["name", "label", "anomaly_type", "annotated"]
        return pd.DataFrame.from_dict(clips, orient="index", columns=columns).rename_axis("index").sort_index()


def clips_by_type(anomaly_types: pd.Series) -> dict[str, Tensor]:
    """Which clips are of each anomaly type, bool (N,), types in alphabetical order; normal clips have type "".

    Example:
        >>> clips_by_type(pd.Series(["stuck", "", "broken"]))
        {'broken': tensor([False, False,  True]), 'stuck': tensor([ True, False, False])}
    """
    types = sorted(set(anomaly_types) - {""})
    return {name: torch.tensor((anomaly_types == name).tolist()) for name in types}
