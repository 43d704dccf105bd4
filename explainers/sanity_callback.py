"""The callback that checks explainers on a few clips of an evaluation."""

import itertools
from collections.abc import Iterator
from typing import Any

import pandas as pd
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from explainers.base import Explainer, require_positive
from explainers.callback import AttributionMaps
from explainers.sanity import infidelity, max_sensitivity, parameter_randomisation
from lightning_modules.base import StepOutputs, require_number
from lightning_modules.callbacks import EvaluationHooks, is_fitting, run_folder
from lightning_modules.distributed import gather_objects
from lightning_modules.errors import ConfigurationError
from lightning_modules.files import write_table

COLUMNS = ["index", "name", "explainer", "check", "step", "value"]


class SanityChecks(EvaluationHooks):
    """Checks every explainer of `AttributionMaps` on a few clips, in `test` and `validate` only.

    Writes ``sanity.csv``, a row per clip, explainer, check (`randomisation`, `infidelity` or `max_sensitivity`) and
    step, which is the last stage that was randomised, output first, and empty for the other checks. The value is the
    rank correlation with the trained model's map, or the measure, and empty where it is undefined.

    Logs means over the clips: ``{val|test}/sanity/randomisation/{explainer}``, the correlation after all stages are
    randomised, ``/infidelity/{explainer}`` and ``/max_sensitivity/{explainer}``. See `parameter_randomisation`,
    `infidelity` and `max_sensitivity`.

    This explains each clip again stages + radius_samples times, with 9 stages and the defaults 12 times, so
    two clips cost as much as 24 explained ones. It has to come after `AttributionMaps`.

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
        require_number("clips", clips, lambda n: n >= 0, "at least 0", whole=True)
        require_positive(noise_samples=noise_samples, radius_samples=radius_samples)
        require_number("noise_std", noise_std, lambda level: level > 0, "above 0 dB")
        require_number("radius", radius, lambda level: level > 0, "above 0 dB")
        self.clips = clips
        self.noise_std = noise_std
        self.noise_samples = noise_samples
        self.radius = radius
        self.radius_samples = radius_samples
        self.seed = seed
        self._kept: dict[int, tuple[str, Tensor, dict[str, Tensor]]] = {}  # name, spectrogram and maps

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check that the maps will be there.

        Raises:
            ConfigurationError: If no `AttributionMaps` comes before this callback.
        """
        before = itertools.takewhile(lambda callback: callback is not self, trainer.callbacks)  # type: ignore[attr-defined]
        if self.clips and stage != "fit" and not any(isinstance(callback, AttributionMaps) for callback in before):
            raise ConfigurationError("SanityChecks needs AttributionMaps, which has to come before it in the callbacks")

    def start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start with no clip."""
        self._kept.clear()

    def update(self, trainer: Trainer, pl_module: LightningModule, outputs: StepOutputs, batch: dict[str, Any]) -> None:
        """Keep the explained clips that are among the first by index so far."""
        if is_fitting(trainer) or "explained" not in outputs:
            return
        for row in torch.nonzero(outputs["explained"]).flatten().tolist():
            maps = {name: of_batch[row].clone() for name, of_batch in outputs["attributions"].items()}
            self._kept[int(batch["index"][row])] = (batch["name"][row], batch["spectrogram"][row].clone(), maps)
        self._kept = {index: self._kept[index] for index in sorted(self._kept)[: self.clips]}

    def finish(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check what was kept, log means and write the file."""
        first = sorted({index for indices in gather_objects(list(self._kept)) for index in indices})[: self.clips]
        explainers = next((c.explainers for c in trainer.callbacks if isinstance(c, AttributionMaps)), {})  # type: ignore[attr-defined]
        parts = gather_objects(list(self._rows(pl_module, explainers, first)))
        rows = pd.DataFrame(itertools.chain(*parts), columns=COLUMNS)
        if rows.empty:
            return
        # A sampler that pads the last batch shows a clip to two processes, whose rows are the same but for rounding.
        rows = rows.drop_duplicates(["index", "explainer", "check", "step"])
        last_steps = rows[rows["step"] == rows.groupby("check")["step"].transform("last")]
        for (check, explainer), mean in last_steps.groupby(["check", "explainer"])["value"].mean().dropna().items():
            pl_module.log(f"{stage}/sanity/{check}/{explainer}", mean)
        path = run_folder(trainer) / "sanity.csv"
        if trainer.is_global_zero:
            write_table(path, rows.sort_values("index", kind="stable"))

    def _rows(
        self, pl_module: LightningModule, explainers: dict[str, Explainer], first: list[int]
    ) -> Iterator[tuple[Any, ...]]:
        """All checks of the clips that this process has."""
        mine = [index for index in first if index in self._kept]
        if not mine:
            return
        names, clips, maps_of_clips = zip(*(self._kept[index] for index in mine), strict=True)
        x = torch.stack(clips)
        attributions = {name: torch.stack([maps[name] for maps in maps_of_clips]) for name in explainers}

        def rows(explainer: str, check: str, step: str, values: Tensor) -> Iterator[tuple[Any, ...]]:
            for index, name, value in zip(mine, names, values.tolist(), strict=True):
                yield index, name, explainer, check, step, value

        for name, by_stage in parameter_randomisation(pl_module, explainers, x, attributions, self.seed).items():
            for step, correlation in by_stage.items():
                yield from rows(name, "randomisation", step, correlation)
        for name, explainer in explainers.items():
            maps = attributions[name]
            unexplained = infidelity(explainer, x, maps, self.noise_std, self.noise_samples, self.seed)
            yield from rows(name, "infidelity", "", unexplained)
            largest = max_sensitivity(explainer, x, maps, self.radius, self.radius_samples, self.seed)
            yield from rows(name, "max_sensitivity", "", largest)
