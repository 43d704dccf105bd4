"""The Lightning command line of the four stages: fit, validate, test and predict."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import wandb
from jsonargparse import set_parsing_settings
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from datamodules import SpectrogramDataModule
from datamodules.frontend import frame_rate
from experiments.arguments import complete
from experiments.checkpoints import AtomicCheckpointIO, first_intact, read_checkpoint
from experiments.csv_log import CheckpointedScalars, take_up
from experiments.exceptions import refusals_are_mistakes
from experiments.main import PROGRAM
from experiments.predictions import Predictions
from experiments.quiet import quieten
from experiments.report import load_comparison, print_comparison
from experiments.run_figures import RunFigures
from experiments.run_folder import RunFolder
from experiments.save_config import SaveRunConfig
from experiments.stage_parser import ExperimentParser
from experiments.tracking import WandbSettings, build_loggers
from explainers import AttributionMaps, SanityChecks
from lightning_modules import ConfigurationError, ReconstructionModule
from lightning_modules.base import check_checkpoint
from metrics.callbacks import AnnotationFScore, DetectionAUC, Faithfulness
from metrics.callbacks.deletion import DeletionInsertion


class ExperimentCLI(LightningCLI):
    """LightningCLI whose stages share one run folder, one set of callbacks and one path from data to metrics.

    Args:
        arguments: The stage and its options.
    """

    def __init__(self, arguments: list[str]) -> None:
        # Interpolations in a YAML file count from that file's top, as its author reads them.
        set_parsing_settings(omegaconf_absolute_to_relative_paths=True)
        super().__init__(
            model_class=ReconstructionModule,
            subclass_mode_model=True,
            datamodule_class=SpectrogramDataModule,
            subclass_mode_data=True,
            args=arguments,
            parser_class=ExperimentParser,
            parser_kwargs={"parser_mode": "omegaconf+", "prog": PROGRAM},
            save_config_callback=SaveRunConfig,
            save_config_kwargs={"save_to_log_dir": False},
            seed_everything_default=0,
            trainer_defaults={"max_epochs": 500, "log_every_n_steps": 1},
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    def add_arguments_to_parser(self, parser: ExperimentParser) -> None:
        """Add the run's folder, its tracking, and the callbacks that evaluate."""
        parser.add_argument("--run", type=str, required=True, help="Folder of the run; all stages write into it.")
        parser.add_class_arguments(WandbSettings, "wandb")
        parser.add_lightning_class_args(AttributionMaps, "attributions")
        parser.add_lightning_class_args(DetectionAUC, "detection")
        parser.add_lightning_class_args(AnnotationFScore, "fscore")
        parser.add_lightning_class_args(Faithfulness, "faithfulness")
        parser.add_lightning_class_args(DeletionInsertion, "deletion")
        parser.add_lightning_class_args(SanityChecks, "sanity")
        parser.add_lightning_class_args(Predictions, "predictions")
        parser.add_lightning_class_args(RunFigures, "figures")
        parser.link_arguments("data.init_args.n_frames", "model.init_args.n_frames")
        parser.link_arguments("data.init_args.frontend.n_mels", "model.init_args.n_mels")
        for callback in ("fscore", "faithfulness", "predictions"):
            parser.link_arguments(
                ("data.init_args.frontend.sample_rate", "data.init_args.frontend.hop"),
                f"{callback}.frames_per_second",
                frame_rate,
            )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The stages, each with the trainer's arguments that are not the user's to set."""
        skipped = LightningCLI.subcommands()
        for stage in ("validate", "test"):
            skipped[stage] |= {"verbose"}
        skipped["predict"] |= {"return_predictions"}
        return skipped

    def _parse_ckpt_path(self) -> None:
        """Take no settings from a checkpoint: one that differs from the configuration is refused instead."""

    def instantiate_classes(self) -> None:
        """Build data, model and trainer; whatever they refuse is a mistake in the configuration."""
        with refusals_are_mistakes():
            super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer; the run's own loggers join it once everything is checked."""
        chosen = self._get(self.config_init, "trainer")["logger"]
        logger = False if chosen is None or chosen is True else chosen
        return super().instantiate_trainer(logger=logger, default_root_dir=self._run, **kwargs)

    def after_instantiate_classes(self) -> None:
        """Check run, checkpoint, explainers and data before a logger makes the first folder."""
        stage = str(self.subcommand)
        run = RunFolder(self._get(self.config, "run"))
        run.require_no_detector(stage)
        config = self.config_init[stage]
        resumed = self._take_up(run) if stage == "fit" else None
        if stage != "fit" or config.ckpt_path:
            path = run.checkpoint(config.ckpt_path)
            check_checkpoint(read_checkpoint(path), self.model, str(path))
            config.ckpt_path = str(path)
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, AttributionMaps):
                callback.check(self.model, stage)
        self.datamodule.setup(stage)
        if resumed is None:
            rank_zero_only(run.clear)(stage)
        else:
            rank_zero_only(take_up)(run.path / stage / "metrics.csv", resumed)
        if stage == "fit":
            self.trainer.callbacks.append(CheckpointedScalars())  # type: ignore[attr-defined]
        self.trainer.strategy.checkpoint_io = AtomicCheckpointIO()
        try:
            self.trainer.loggers = build_loggers(self._run, stage, config.wandb) + self.trainer.loggers
        except OSError as error:
            raise ConfigurationError(f"--run {self._run} can't be written ({error.strerror}); name another") from error

    def _take_up(self, run: RunFolder) -> Mapping[str, Any] | None:
        """Go on with an interrupted training, from its last checkpoint or, where that is damaged, from its best.

        Either leads to the same end. Where neither can be used, the training begins anew, which does so too.

        Returns:
            The checkpoint, None where there is none.
        """
        run.require_no_fit()
        saved = [path for path in (run.last_checkpoint, run.checkpoint("best")) if path.is_file()]
        if not saved:
            return None
        run.require_same_fit(self._saved_config())
        found = first_intact(saved)
        if found is None:
            return None
        path, checkpoint = found
        self.config_init["fit"].ckpt_path = str(path)
        for damaged in saved[: saved.index(path)]:
            # Lightning would keep the file and write later checkpoints under other names.
            rank_zero_only(damaged.replace)(damaged.with_suffix(".damaged"))
            rank_zero_only(print)(f"going on from {path}", file=sys.stderr)
        return checkpoint

    @property
    def _run(self) -> Path:
        return Path(self._get(self.config, "run"))

    def _saved_config(self) -> dict[str, Any]:
        """The stage's configuration as its file would hold it."""
        parser, config = self._parser(self.subcommand), self.config[str(self.subcommand)]
        text = parser.dump(config, skip_unset=False, skip_validation=True)
        saved: dict[str, Any] = OmegaConf.to_container(OmegaConf.create(text), resolve=True)  # type: ignore[assignment]
        return saved

    def after_fit(self) -> None:
        """Note that the training ran to its end, so that it is not taken up again."""
        self._mark_finished()

    def after_test(self) -> None:
        """Note that all results are there."""
        self._mark_finished()

    def _mark_finished(self) -> None:
        if self.trainer.is_global_zero:
            RunFolder(self._run).mark_finished(str(self.subcommand))

    def validate(self, **kwargs: Any) -> None:
        """Evaluate the validation clips; the results lie in the run's folder."""
        self.trainer.validate(verbose=False, **kwargs)
        self._tell_folder()

    def test(self, **kwargs: Any) -> None:
        """Evaluate the test clips and print the run's tables instead of Lightning's one of a thousand rows."""
        self.trainer.test(verbose=False, **kwargs)
        if self.trainer.is_global_zero:
            print_comparison(load_comparison([self._run]))
        self._tell_folder()

    def predict(self, **kwargs: Any) -> None:
        """Predict without keeping every reconstruction in memory."""
        self.trainer.predict(return_predictions=False, **kwargs)
        self._tell_folder()

    def _tell_folder(self) -> None:
        if self.trainer.is_global_zero:
            print(self._run / str(self.subcommand))


def run_stage(name: str, arguments: list[str]) -> None:
    """Run `faithful-aad fit`, `validate`, `test` or `predict`."""
    quieten()
    try:
        with one_line_errors():
            ExperimentCLI([name, *complete(name, arguments)])
    finally:
        wandb.finish()


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Make a ConfigurationError of what Lightning and OmegaConf say about a configuration."""
    try:
        yield
    except OmegaConfBaseException as error:
        reason = str(error).partition("\n")[0]
        raise ConfigurationError(f"an interpolation in the configuration can't be resolved: {reason}") from error
    except MisconfigurationException as error:
        raise ConfigurationError(str(error)) from error
