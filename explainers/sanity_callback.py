"""The callback that checks explainers on a few clips of an evaluation."""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from explainers.base import Explainer
from explainers.callback import AttributionMaps
from explainers.sanity import infidelity, max_sensitivity, parameter_randomisation
from lightning_modules.distributed import gather_objects
from lightning_modules.errors import ConfigurationError
from lightning_modules.files import write_rows

FILENAME = "sanity.csv"


class SanityRow(NamedTuple):
    """One value of one clip, a line of ``sanity.csv``.

    Attributes:
        index: The clip's number in its split.
        name: Its path relative to the data root.
        explainer: Name in `EXPLAINERS`.
        check: `randomisation`, `infidelity` or `max_sensitivity`.
        step: The last stage that was randomised, output first; "" for the other checks.
        value: Rank correlation with the trained model's map, or the measure; NaN, an empty cell, where undefined.
    """

    index: int  # type: ignore[assignment]  # not the method of tuples
    name: str
    explainer: str
    check: str
    step: str
    value: float


class SanityChecks(Callback):
    """Checks every explainer of `AttributionMaps` on a few clips, in `test` and `validate` only.

    Writes ``sanity.csv``, see `SanityRow`, and logs means over the clips: ``{val|test}/sanity/randomisation/
    {explainer}``, the correlation after all stages are randomised, ``/infidelity/{explainer}`` and
    ``/max_sensitivity/{explainer}``. See `parameter_randomisation`, `infidelity` and `max_sensitivity`.

    This explains each clip again stages + radius_samples + 2 times, with 9 stages and the defaults 14 times, so
    two clips cost as much as 28 explained ones. It has to come after `AttributionMaps`.

    Args:
        clips: Clips that are checked, the explained ones of lowest index; 0 checks nothing.
        noise_std: Standard deviation of the infidelity's Gaussian noise, dB.
        noise_samples: Noisy copies of a clip for the infidelity.
        radius: Largest change of a cell for the maximum sensitivity, dB.
        radius_samples: Changed copies of a clip for the maximum sensitivity.
        seed: Another seed, other random weights and noise.

    Raises:
        ConfigurationError: If a number of clips or samples, or a size of a change, is out of range.
    """

    def __init__(
        self,
        clips: int = 2,
        noise_std: float = 0.01,
        noise_samples: int = 10,
        radius: float = 0.1,
        radius_samples: int = 3,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if clips < 0:
            raise ConfigurationError(f"clips={clips} is negative; give the number of clips to check, or 0")
        for name, value in {"noise_samples": noise_samples, "radius_samples": radius_samples}.items():
            if value < 1:
                raise ConfigurationError(f"{name}={value} is not a positive number of copies of a clip")
        for name, size in {"noise_std": noise_std, "radius": radius}.items():
            if size <= 0:
                raise ConfigurationError(f"{name}={size} dB changes nothing; set it above 0")
        self.clips = clips
        self.noise_std = noise_std
        self.noise_samples = noise_samples
        self.radius = radius
        self.radius_samples = radius_samples
        self.seed = seed
        self._kept: dict[int, tuple[str, Tensor]] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check that the maps will be there.

        Raises:
            ConfigurationError: If no `AttributionMaps` comes before this callback.
        """
        before = itertools.takewhile(lambda callback: callback is not self, trainer.callbacks)  # type: ignore[attr-defined]
        if self.clips and stage != "fit" and not any(isinstance(callback, AttributionMaps) for callback in before):
            raise ConfigurationError("SanityChecks needs AttributionMaps, which has to come before it in the callbacks")

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start with no clip."""
        self._kept.clear()

    on_test_epoch_start = on_validation_epoch_start

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the explained clips that are among the first by index so far."""
        if "explained" not in outputs:
            return
        for row in torch.nonzero(outputs["explained"]).flatten().tolist():
            self._kept[int(batch["index"][row])] = (batch["name"][row], batch["spectrogram"][row].clone())
        self._kept = {index: self._kept[index] for index in sorted(self._kept)[: self.clips]}

    on_test_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check what `validate` kept; validation inside `fit` checks nothing."""
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._check(trainer, pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check what was kept."""
        self._check(trainer, pl_module, "test")

    def _check(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        first = sorted({index for indices in gather_objects(list(self._kept)) for index in indices})[: self.clips]
        explainers = next((c.explainers for c in trainer.callbacks if isinstance(c, AttributionMaps)), {})  # type: ignore[attr-defined]
        # A sampler that pads the last batch shows a clip to two processes, whose rows are the same but for rounding.
        rows: dict[tuple[int, str, str, str], SanityRow] = {}
        for part in gather_objects(list(self._rows(pl_module, explainers, first))):
            for row in part:
                rows.setdefault((row.index, row.explainer, row.check, row.step), row)
        if not rows:
            return
        _log_means(pl_module, stage, list(rows.values()))
        folder = trainer.log_dir  # asks all processes, so it stands before the question for the first
        if trainer.is_global_zero:
            cells = [(*row[:-1], "" if math.isnan(row.value) else row.value) for row in rows.values()]
            path = Path(folder or trainer.default_root_dir) / FILENAME
            write_rows(path, SanityRow._fields, sorted(cells, key=lambda row: row[0]))

    def _rows(
        self, pl_module: LightningModule, explainers: dict[str, Explainer], first: list[int]
    ) -> Iterator[SanityRow]:
        """All checks of the clips that this process holds."""
        mine = [index for index in first if index in self._kept]
        if not mine:
            return
        names = [self._kept[index][0] for index in mine]
        x = torch.stack([self._kept[index][1] for index in mine])

        def rows(explainer: str, check: str, step: str, values: Tensor) -> Iterator[SanityRow]:
            for index, name, value in zip(mine, names, values.tolist(), strict=True):
                yield SanityRow(index, name, explainer, check, step, value)

        for name, by_stage in parameter_randomisation(pl_module, explainers, x, self.seed).items():
            for step, correlation in by_stage.items():
                yield from rows(name, "randomisation", step, correlation)
        for name, explainer in explainers.items():
            maps = explainer.attribute(x)
            unexplained = infidelity(explainer, x, maps, self.noise_std, self.noise_samples, self.seed)
            yield from rows(name, "infidelity", "", unexplained)
            largest = max_sensitivity(explainer, x, self.radius, self.radius_samples, self.seed)
            yield from rows(name, "max_sensitivity", "", largest)


def _log_means(pl_module: LightningModule, stage: str, rows: list[SanityRow]) -> None:
    """Log each measure's mean over clips; of the randomisation, the last step's."""
    last_step = {row.check: row.step for row in rows}
    values: dict[str, list[float]] = {}
    for row in rows:
        if row.step == last_step[row.check] and not math.isnan(row.value):
            values.setdefault(f"{stage}/sanity/{row.check}/{row.explainer}", []).append(row.value)
    for name, of_clips in values.items():
        pl_module.log(name, sum(of_clips) / len(of_clips))
