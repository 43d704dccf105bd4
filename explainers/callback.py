"""The callback that explains clips once, for whatever reads the maps afterwards."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from explainers.base import Explainer, HasConvergenceDelta
from explainers.examples import Example, ExampleKeeper
from explainers.registry import EXPLAINERS, check_settings, find_explainers, user_errors
from lightning_modules.base import StepOutputs, require_number
from lightning_modules.callbacks import EvaluationHooks, is_fitting, run_folder
from lightning_modules.distributed import mean_over_clips
from lightning_modules.errors import ConfigurationError, first_line

_DEFAULT_EXAMPLES, _DEFAULT_EVENTS = 2, 10


class AttributionMaps(EvaluationHooks):
    """Adds attribution maps to the outputs of validation and test steps, and explains windows of a prediction.

    ``outputs["attributions"]`` becomes {explainer: (B, F, T)} and ``outputs["explained"]`` (B,) bool; the maps of
    clips that were not explained are NaN. Has to come before the callbacks that read the maps. Of modules that
    reconstruct nothing, nothing is explained.

    Outside of `fit`, a few explained clips are written to ``examples/*.npz`` in the run's folder, so that figures
    can be drawn later. Which windows of a prediction are worth it is known at its end only: then `explain` is called.

    Args:
        explainers: Names in `EXPLAINERS` or of plugins, or class paths. Those with an `obstacle` are left out.
        settings: Keyword arguments by explainer, for example {"smoothgrad": {"n_samples": 50}}.
        validation_explainers: The explainers of validation epochs inside `fit`, kept few to stay fast.
        clips: Which clips of a validation or test set are explained; of a prediction, only the examples are.
        examples: Clips kept: of a test set the first ones of each type; of a prediction the highest events or, where
            there are none, the highest windows. When None, 2, but 10 events.

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
        examples: int | None = None,
    ) -> None:
        super().__init__()
        self._tested, self._validated = find_explainers(explainers), find_explainers(validation_explainers)
        self.settings = check_settings(settings, self._tested | self._validated)
        if examples is not None:
            require_number("examples", examples, lambda n: n >= 0, "at least 0", whole=True)
        self.clips = clips
        self.examples = examples
        self._examples = ExampleKeeper(_DEFAULT_EXAMPLES if examples is None else examples)
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
        """Explain the chosen clips of a batch, of a prediction none yet."""
        if "reconstruction" not in outputs or trainer.predicting:
            return
        if self.clips == "all":
            chosen = torch.ones_like(batch["label"], dtype=torch.bool)
        else:
            chosen = batch["annotated"].bool() if self.clips == "annotated" else batch["label"] == 1
        self._add_maps(outputs, batch, chosen)
        if self._folder is not None:
            self._examples.consider(outputs, batch)

    def n_windows(self, n_events: int) -> int:
        """How many windows of a prediction to explain that has found events, or none."""
        if self.examples is None:
            return min(n_events, _DEFAULT_EVENTS) if n_events else _DEFAULT_EXAMPLES
        return min(n_events, self.examples) if n_events else self.examples

    def explain(
        self, trainer: Trainer, pl_module: LightningModule, batches: Iterable[dict[str, Any]]
    ) -> list[Example | None]:
        """Explain windows that were chosen at the end of a prediction.

        Args:
            trainer: The trainer, while it predicts.
            pl_module: The module.
            batches: The windows, as the DataModule batches them.

        Returns:
            The examples in the order of the windows; None for each window if the module reconstructs nothing.
        """
        examples: list[Example | None] = []
        for loaded in batches:
            batch = trainer.strategy.batch_to_device(trainer.precision_plugin.convert_input(loaded))
            with trainer.precision_plugin.predict_step_context():
                outputs: Any = pl_module.predict_step(batch, 0)
            if "reconstruction" not in outputs:
                examples += [None] * len(batch["name"])
                continue
            self._add_maps(outputs, batch, torch.ones_like(batch["label"], dtype=torch.bool))
            examples += [Example.of_row(outputs, batch, row) for row in range(len(batch["name"]))]
        return examples

    def _add_maps(self, outputs: StepOutputs, batch: dict[str, Any], chosen: Tensor) -> None:
        """Add the maps of the chosen clips (B,) to the outputs."""
        x, reconstruction = batch["spectrogram"], outputs["reconstruction"]
        outputs["explained"] = chosen
        outputs["attributions"] = {name: torch.full_like(x, torch.nan) for name in self.explainers}
        if not chosen.any():
            return
        for name, explainer in self.explainers.items():
            with user_errors(explainer):
                outputs["attributions"][name][chosen] = explainer.attribute(x[chosen], reconstruction[chosen])
            if isinstance(explainer, HasConvergenceDelta):
                self._deltas[name].append((batch["index"][chosen], explainer.convergence_delta.abs()))

    def finish(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keep the examples and log the quadrature errors, except in prediction, where Lightning logs nothing."""
        if stage != "predict":
            for name, deltas in self._deltas.items():
                delta = mean_over_clips(deltas)
                if not math.isnan(delta):
                    pl_module.log(f"{stage}/convergence_delta/{name}", delta)
        if self._folder is not None:
            self._examples.write(self._folder)
