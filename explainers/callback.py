"""The callback that explains clips once, for whatever reads the maps afterwards."""

import math
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from explainers.base import Explainer, HasConvergenceDelta
from explainers.examples import ExampleKeeper
from explainers.registry import EXPLAINERS, check_settings, find_explainers, user_errors
from lightning_modules.base import StepOutputs, require_number
from lightning_modules.callbacks import EvaluationHooks, is_fitting, run_folder
from lightning_modules.distributed import mean_over_clips
from lightning_modules.errors import ConfigurationError, first_line


class AttributionMaps(EvaluationHooks):
    """Adds attribution maps to the outputs of validation, test and prediction steps.

    ``outputs["attributions"]`` becomes {explainer: (B, F, T)} and ``outputs["explained"]`` (B,) bool; the maps of
    clips that were not explained are NaN. Has to come before the callbacks that read the maps. Of modules that
    reconstruct nothing, nothing is explained.

    Outside of `fit`, a few explained clips are written to ``examples/*.npz`` in the run's folder, so that figures
    can be drawn later.

    Args:
        explainers: Names in `EXPLAINERS` or of plugins, or class paths. Those with an `obstacle` are left out.
        settings: Keyword arguments by explainer, for example {"smoothgrad": {"n_samples": 50}}.
        validation_explainers: The explainers of validation epochs inside `fit`, kept few to stay fast.
        clips: Which clips of a validation or test set are explained; of those to predict, only the examples are.
        examples: Clips kept per anomaly type: the first of each in a test set, and the highest scores in prediction.

    Raises:
        ConfigurationError: If an explainer or one of its settings does not exist.
    """

    stages = ("val", "test", "predict")

    def __init__(
        self,
        explainers: list[str] = list(EXPLAINERS),  # noqa: B006  jsonargparse shows it; it is copied below
        settings: dict[str, dict[str, Any]] = {},  # noqa: B006
        validation_explainers: list[str] = ["error_map"],  # noqa: B006
        clips: Literal["annotated", "anomalous", "all"] = "annotated",
        examples: int = 2,
    ) -> None:
        super().__init__()
        self._tested, self._validated = find_explainers(explainers), find_explainers(validation_explainers)
        self.settings = check_settings(settings, self._tested | self._validated)
        require_number("examples", examples, lambda n: n >= 0, "at least 0", whole=True)
        self.clips = clips
        self._examples = ExampleKeeper(examples)
        self.explainers: dict[str, Explainer] = {}
        """The explainers of the running evaluation, by name."""
        self._deltas: dict[str, list[tuple[Tensor, Tensor]]] = {}
        self._folder: Path | None = None  # where examples are kept

    def names(self, stage: str) -> tuple[str, ...]:
        """The explainers of a stage (`fit`, `validate`, `test` or `predict`), by the names that files have."""
        return tuple(self._validated if stage == "fit" else self._tested)

    def obstacles(self, pl_module: LightningModule, stage: str) -> dict[str, str]:
        """Why explainers of a stage can't explain a module, by name; empty where all can.

        Raises:
            ConfigurationError: From an explainer, whose settings are out of their range.
        """
        found = {name: explainer.obstacle() for name, explainer in self._build(pl_module, stage).items()}
        return {name: obstacle for name, obstacle in found.items() if obstacle}

    def _build(self, pl_module: LightningModule, stage: str) -> dict[str, Explainer]:
        if not getattr(pl_module, "reconstructs", True):
            return {}
        chosen = self._validated if stage == "fit" else self._tested
        return {name: self._construct(name, explainer, pl_module) for name, explainer in chosen.items()}

    def _construct(self, name: str, explainer: type[Explainer], pl_module: LightningModule) -> Explainer:
        settings = self.settings.get(name, {})
        try:
            return explainer(pl_module, **settings)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"explainer {name!r}: {first_line(error)}") from error

    def start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Build the explainers anew, for the module's present weights."""
        built = self._build(pl_module, "fit" if is_fitting(trainer) else "test")
        self.explainers = {name: explainer for name, explainer in built.items() if not explainer.obstacle()}
        self._deltas = {name: [] for name, each in self.explainers.items() if isinstance(each, HasConvergenceDelta)}
        self._examples.clear()
        self._folder = None if is_fitting(trainer) else run_folder(trainer)
        if self._folder is not None and trainer.is_global_zero:
            self._examples.delete(self._folder)

    def update(self, trainer: Trainer, pl_module: LightningModule, outputs: StepOutputs, batch: dict[str, Any]) -> None:
        """Explain the chosen clips of a batch; of clips to predict, all."""
        if "reconstruction" not in outputs:
            return
        is_predicting = trainer.predicting
        x, reconstruction = batch["spectrogram"], outputs["reconstruction"]
        if is_predicting:
            chosen = self._examples.contenders(outputs["score"])
        elif self.clips == "all":
            chosen = torch.ones_like(batch["label"], dtype=torch.bool)
        else:
            chosen = batch["annotated"].bool() if self.clips == "annotated" else batch["label"] == 1
        outputs["explained"] = chosen
        outputs["attributions"] = {name: torch.full_like(x, torch.nan) for name in self.explainers}
        if not chosen.any():
            return
        for name, explainer in self.explainers.items():
            with user_errors(explainer):
                outputs["attributions"][name][chosen] = explainer.attribute(x[chosen], reconstruction[chosen])
            if isinstance(explainer, HasConvergenceDelta):
                self._deltas[name].append((batch["index"][chosen], explainer.convergence_delta.abs()))
        if self._folder is not None:
            self._examples.consider(outputs, batch, highest_score=is_predicting)

    def finish(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep the examples and log the quadrature errors, except in prediction, where Lightning logs nothing."""
        if stage != "predict":
            for name, deltas in self._deltas.items():
                delta = mean_over_clips(deltas)
                if not math.isnan(delta):
                    pl_module.log(f"{stage}/convergence_delta/{name}", delta)
        if self._folder is not None:
            self._examples.write(self._folder)
