"""The Lightning command line of the four stages: fit, validate, test and predict."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import wandb
from jsonargparse import set_parsing_settings
from lightning.fabric.plugins.environments import SLURMEnvironment
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from datamodules import SpectrogramDataModule
from datamodules.frontend import frame_rate
from experiments.cli.arguments import check_seed, check_trainer, complete, left_out_clips, require_work
from experiments.cli.errors import Stopped, refusals_are_mistakes, scheduler_mistakes
from experiments.cli.main import PROGRAM
from experiments.cli.save_config import SaveRunConfig
from experiments.cli.stage_parser import ExperimentParser
from experiments.report import load_comparison, print_comparison
from experiments.runs.checkpoints import (
    AtomicCheckpointIO,
    StayStopped,
    complete_best,
    intact,
    read_checkpoint,
    run_checkpoints,
    unfinished_training,
)
from experiments.runs.csv_log import CheckpointedScalars, take_up
from experiments.runs.folder import DAMAGED, RunFolder
from experiments.runs.predictions import Predictions
from experiments.tracking import WandbSettings, build_loggers
from experiments.tracking.run_figures import RunFigures
from explainers import AttributionMaps, SanityChecks
from lightning_modules import ConfigurationError, ReconstructionModule
from lightning_modules.base import check_checkpoint
from lightning_modules.errors import TrainingError, first_line
from metrics.callbacks import AnnotationFScore, DetectionAUC, Faithfulness
from metrics.callbacks.deletion import DeletionInsertion

# From here on SLURM_STEP_ID says that no srun started the process, as in the shell of an interactive job.
_NO_STEP = 2**32 - 10


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
        parser.add_argument(
            "--init_from",
            type=str,
            default=None,
            help="Checkpoint whose weights a new training begins with; of fit only.",
        )
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

    def _set_seed(self) -> None:
        """Check the numbers that nothing else checks, then seed."""
        config = self.config[str(self.subcommand)]
        check_seed(config.seed_everything)
        check_trainer(config.trainer)
        super()._set_seed()

    def _parse_ckpt_path(self) -> None:
        """Take no settings from a checkpoint: one that differs from the configuration is refused instead."""

    def instantiate_classes(self) -> None:
        """Build data, model and trainer; whatever they refuse is a mistake in the configuration."""
        with refusals_are_mistakes():
            super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer; the run's own loggers join it once everything is checked."""
        config = self._get(self.config_init, "trainer")
        logger = False if config["logger"] is None or config["logger"] is True else config["logger"]
        folder = self._run.path
        if config["fast_dev_run"]:
            # What callbacks write goes where nobody looks, and then away.
            self._scratch = TemporaryDirectory(prefix=PROGRAM)
            folder = Path(self._scratch.name)
        elif self.subcommand == "fit":
            if config["enable_checkpointing"] is False:
                raise ConfigurationError(
                    "--trainer.enable_checkpointing false would leave nothing to test; leave it out, or try a training "
                    "out with --trainer.fast_dev_run true"
                )
            own = config["callbacks"] or []
            own = own if isinstance(own, list) else [own]
            config["callbacks"] = [*own, *run_checkpoints(own, self._run)]
        with scheduler_mistakes():
            try:
                trainer = super().instantiate_trainer(logger=logger, default_root_dir=folder, **kwargs)
            except (TypeError, ImportError) as error:
                machine = {name: config[name] for name in ("accelerator", "devices", "precision")}
                given = ", ".join(f"--trainer.{name} {value}" for name, value in machine.items() if value is not None)
                raise ConfigurationError(f"{given}: {first_line(error)}") from None
            if trainer.world_size == 1:
                rank_zero_only.rank = 0  # type: ignore[attr-defined]  # whatever variables are left of another job, this process writes the results
            elif SLURMEnvironment.detect() and int(os.environ.get("SLURM_STEP_ID", _NO_STEP)) >= _NO_STEP:
                raise RuntimeError(f"SLURM tasks are expected, {trainer.world_size} in all, and this is none of them")
        return trainer

    def after_instantiate_classes(self) -> None:
        """Check run, checkpoint, explainers, data and the trainer's limits before anything is written."""
        stage = str(self.subcommand)
        run = self._run
        run.require_no_detector(stage)
        config = self.config_init[stage]
        self._resumed: Mapping[str, Any] | None = None
        self._damaged: list[Path] = []
        cautions = []
        if stage != "fit":
            path = run.checkpoint(config.ckpt_path)
            if not path.exists() and path.parent == run.last_checkpoint.parent and run.fit_config.is_file():
                raise ConfigurationError(
                    f"{path} does not exist: the training of {run.path} has kept no checkpoint; train again in another "
                    "--run, or finish this training with its own fit command if it was interrupted"
                )
            cautions.append(unfinished_training(path, self._read_checkpoint(path)))
            config.ckpt_path = str(path)
        elif config.ckpt_path:
            raise ConfigurationError(
                "fit takes no --ckpt_path: the command of an interrupted training, given again, goes on by itself, and "
                "--init_from CHECKPOINT begins a new training from the weights of another"
            )
        elif not self._is_trial:
            self._resumed = self._take_up(run)
        if stage == "fit" and self._resumed is None and config.init_from is not None:
            path = Path(config.init_from)
            if not path.exists() or not config.init_from.strip():
                raise ConfigurationError(
                    f"--init_from {config.init_from!r} does not exist; name a checkpoint, such as "
                    "RUN/fit/checkpoints/best.ckpt"
                )
            self.model.load_state_dict(self._read_checkpoint(path)["state_dict"])
        callbacks: list[Callback] = self.trainer.callbacks  # type: ignore[attr-defined]
        check_callbacks(callbacks, self.model, self.datamodule, stage)
        self.datamodule.setup(stage)
        require_work(stage, self.trainer, self.datamodule)
        if stage != "fit" and not self._is_trial:
            cautions.append(left_out_clips(stage, self.trainer, self.datamodule))
        self._caution = "; ".join(filter(None, cautions))
        for callback in callbacks:
            if isinstance(callback, SaveRunConfig):
                callback.caution = self._caution

    def _read_checkpoint(self, path: Path) -> Mapping[str, Any]:
        """Read a checkpoint that fits the configuration."""
        checkpoint = read_checkpoint(path)
        check_checkpoint(checkpoint, self.model, str(path), self.datamodule.signal_settings)
        return checkpoint

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Make the run's folder ready for the stage, which no other process may be at work on, and close the stage."""
        stage, run = str(self.subcommand), self._run
        if self._caution:
            rank_zero_only(print)(f"caution: {self._caution}; this holds for {run.path / stage}", file=sys.stderr)
        if self._is_trial:
            with self._scratch:
                yield
            return
        is_first = self.trainer.is_global_zero
        with run.alone(stage) if is_first else nullcontext():
            if stage == "fit":
                self.trainer.callbacks += [CheckpointedScalars(), StayStopped()]  # type: ignore[attr-defined]
            self.trainer.strategy.checkpoint_io = AtomicCheckpointIO()
            try:
                wandb_settings = self.config_init[stage].wandb
                self.trainer.loggers = build_loggers(run.path, stage, wandb_settings) + self.trainer.loggers
            except OSError as error:
                raise ConfigurationError(
                    f"--run {run.path} can't be written ({error.strerror}); name another"
                ) from error
            if is_first:
                self._make_ready(run, stage)
            yield
            if is_first and stage == "fit":
                run.mark_finished(stage)
        if is_first and stage != "fit":
            print(run.path / stage)

    def _make_ready(self, run: RunFolder, stage: str) -> None:
        """Clear a stage's folder, or make it that of the moment from which a training goes on."""
        if stage == "fit":
            run.require_no_fit()  # which another process may have ended since
        for damaged in self._damaged:
            damaged.replace(damaged.with_suffix(DAMAGED))
        if self._resumed is not None:
            take_up(run.path / stage / "metrics.csv", self._resumed)
            if self._damaged:
                print(f"going on from {self.config_init[stage].ckpt_path}", file=sys.stderr)
            return
        if stage == "fit" and run.fit_config.is_file():
            kept = f", kept as *{DAMAGED}" if self._damaged else ""
            print(
                f"warning: the training in {run.path} begins again with its first epoch, since it has no checkpoint "
                f"that can be used{kept}",
                file=sys.stderr,
            )
        run.clear(stage)

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
        found = intact(saved)
        self._damaged = [path for path in saved if path not in found]
        if not found:
            return None
        path, checkpoint = next(iter(found.items()))
        self.config_init["fit"].ckpt_path = str(path)
        return checkpoint

    @property
    def _is_trial(self) -> bool:
        """Whether nothing is to be written, as `fast_dev_run` says."""
        return bool(self.trainer.fast_dev_run)  # type: ignore[attr-defined]

    @property
    def _run(self) -> RunFolder:
        return RunFolder(self._get(self.config, "run"))

    def _saved_config(self) -> dict[str, Any]:
        """The stage's configuration as its file would hold it."""
        parser, config = self._parser(self.subcommand), self.config[str(self.subcommand)]
        text = parser.dump(config, skip_unset=False, skip_validation=True)
        saved: dict[str, Any] = OmegaConf.to_container(OmegaConf.create(text), resolve=True)  # type: ignore[assignment]
        return saved

    def fit(self, **kwargs: Any) -> None:
        """Train; what stops the training says whether the same command goes on with it."""
        with self._at_work():
            last = self._run.last_checkpoint
            try:
                self.trainer.fit(**kwargs)
            except (SystemExit, KeyboardInterrupt) as stop:  # Lightning makes the first of the second
                begins = "goes on after the last whole epoch" if last.is_file() else "begins it again"
                raise Stopped(f" in epoch {self.trainer.current_epoch + 1}; the same command {begins}") from stop
            except TrainingError as error:
                kept = f", and {last.parent} has the epochs before; name another --run" if last.is_file() else ""
                raise TrainingError(f"{error}. The same options would fail again{kept}") from error
            if self._resumed is None and self.trainer.global_step == 0:
                raise ConfigurationError("the training made no step; look at the limits given with --trainer")
            if not self._is_trial:
                rank_zero_only(complete_best)(self._run)

    def validate(self, **kwargs: Any) -> None:
        """Evaluate the validation clips; the results lie in the run's folder."""
        with self._at_work():
            self.trainer.validate(verbose=False, **kwargs)

    def test(self, **kwargs: Any) -> None:
        """Evaluate the test clips and print the run's tables instead of Lightning's one of a thousand rows."""
        with self._at_work():
            self.trainer.test(verbose=False, **kwargs)
            if self.trainer.is_global_zero and not self._is_trial:
                self._run.mark_finished("test")  # or the tables would say that it is not
                print_comparison(load_comparison([self._run.path]))

    def predict(self, **kwargs: Any) -> None:
        """Predict without keeping every reconstruction in memory."""
        with self._at_work():
            self.trainer.predict(return_predictions=False, **kwargs)


def check_callbacks(
    callbacks: Iterable[Callback], model: ReconstructionModule, data: SpectrogramDataModule, stage: str
) -> None:
    """Check that the callbacks can do what they are told with a model and its data.

    Raises:
        ConfigurationError: If one can't.
    """
    for callback in callbacks:
        if isinstance(callback, AttributionMaps):
            callback.check(model, stage)
        if isinstance(callback, Faithfulness):
            with refusals_are_mistakes():
                callback.check(data.n_frames)


def run_stage(name: str, arguments: list[str]) -> None:
    """Run `faithful-aad fit`, `validate`, `test` or `predict`."""
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
    except RuntimeError as error:
        if not str(error).startswith("Early stopping conditioned on metric"):
            raise
        raise ConfigurationError(str(error)) from error
