"""The stages fit, validate, curve, test and predict: each is built, checked, and then run in the run's folder."""

import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lightning.fabric.plugins.environments import SLURMEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import LightningCLI, SaveConfigCallback
from lightning.pytorch.plugins import CheckpointIO
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import OmegaConf

from datamodules import SpectrogramDataModule
from datamodules.frontend import frame_rate
from datamodules.provenance import write_provenance
from experiments.cli.commands import PROGRAM
from experiments.cli.curve import (
    CurveTrainer,
    delete_single_results,
    evaluate_checkpoints,
    require_labelled,
    rows_to_keep,
    unused_callbacks,
)
from experiments.cli.errors import Stopped, configuration_errors, scheduler_errors
from experiments.cli.options import (
    PARSER_MODE,
    check_callbacks,
    check_limits,
    check_monitors,
    check_numbers,
    check_optimizer,
    complete,
    one_line_errors,
)
from experiments.cli.parser import ExperimentParser
from experiments.predictions.calibration import CALIBRATION_FILE, Calibration, CalibrationScores
from experiments.predictions.callback import Predictions
from experiments.predictions.tables import require_unedited
from experiments.report.terminal import print_summary
from experiments.runs.checkpoints import (
    AtomicCheckpointIO,
    PlateauSteps,
    ResumePoint,
    StayStopped,
    complete_best,
    find_resume_point,
    read_checkpoint,
    run_checkpoints,
    time_caution,
    training_caution,
)
from experiments.runs.csv_logger import CheckpointedScalars
from experiments.runs.curve import CurveCheckpoints, curve_checkpoints
from experiments.runs.folder import CAUTION_FILE, CONFIG_FILE, TRAINED_IN_PART, RunFolder, read_scalars
from experiments.tracking.run_figures import RunFigures
from experiments.tracking.settings import WandbSettings
from explainers import AttributionMaps, SanityChecks
from lightning_modules import AnomalyDetector, ConfigurationError, NearestNeighbours
from lightning_modules.autoencoders import RECIPE_HPARAMS
from lightning_modules.base import check_checkpoint
from lightning_modules.errors import WOULD_FAIL_AGAIN, TrainingError, first_line
from lightning_modules.files import write_atomically
from metrics.callbacks import AnnotationFScore, DetectionAUC, Faithfulness
from metrics.callbacks.deletion import DeletionInsertion

if TYPE_CHECKING:
    from experiments.tracking.loggers import RunWandbLogger

# Such a SLURM_STEP_ID means that no srun started the process, as in the shell of an interactive job.
_NO_STEP = 2**32 - 10

# In their order: each reads what the ones before it have added to the outputs of a step.
_CALLBACKS: dict[str, type[Callback]] = {
    "attributions": AttributionMaps,
    "detection": DetectionAUC,
    "fscore": AnnotationFScore,
    "faithfulness": Faithfulness,
    "deletion": DeletionInsertion,
    "sanity": SanityChecks,
    "predictions": Predictions,
    "figures": RunFigures,
}


def run_stage(name: str, arguments: list[str]) -> None:
    """Run `faithful-aad fit`, `validate`, `curve`, `test` or `predict`."""
    try:
        with one_line_errors():
            ExperimentCLI([name, *complete(name, arguments)])
    finally:
        if "wandb" in sys.modules:  # where something was tracked
            sys.modules["wandb"].finish()


def _named_option(options: Mapping[str, Any], message: str) -> str:
    """The option that a message of Lightning is about: named as an argument, else named, else by its value."""

    def is_word(text: str) -> bool:
        return re.search(rf"(?<![\w.]){re.escape(text)}(?![\w.]*\w)", message) is not None

    as_argument = [name for name in options if f"{name}=" in message]
    by_name = [name for name in options if is_word(name)]
    by_value = [name for name, value in options.items() if value is not None and is_word(str(value))]
    return next(iter([*as_argument, *by_name, *by_value]), "")


class SaveRunConfig(SaveConfigCallback):
    """Writes the stage's whole configuration into its folder before it begins, and how its data were made."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write ``config.yaml`` and ``provenance.json``; called on global rank zero."""
        folder = Path(str(trainer.loggers[0].log_dir))
        # Without the folder's own path, which would override a `--run` given before `--config`.
        config = self.config.clone()
        config.pop("run")
        text = self.parser.dump(config, skip_unset=False, skip_validation=True)
        write_atomically(folder / CONFIG_FILE, text.encode())
        provenance = trainer.datamodule.provenance  # type: ignore[attr-defined]
        if provenance is not None and stage != "predict":  # which is about other recordings
            write_provenance(folder, provenance)


class ExperimentCLI(LightningCLI):
    """LightningCLI whose stages share one run folder, one set of callbacks and one path from data to metrics."""

    def __init__(self, arguments: list[str]) -> None:
        self._only = next(iter(arguments), None)  # each parser takes a while to build
        super().__init__(
            model_class=AnomalyDetector,
            subclass_mode_model=True,
            trainer_class=CurveTrainer,
            datamodule_class=SpectrogramDataModule,
            subclass_mode_data=True,
            args=arguments,
            parser_class=ExperimentParser,
            parser_kwargs={"parser_mode": PARSER_MODE, "prog": PROGRAM},
            save_config_callback=SaveRunConfig,
            save_config_kwargs={"save_to_log_dir": False},
            seed_everything_default=0,
            trainer_defaults={"max_epochs": 500, "log_every_n_steps": 1},
            load_from_checkpoint_support=False,
        )

    # ---- the options

    def add_arguments_to_parser(self, parser: ExperimentParser) -> None:
        """Add the run's folder, its tracking, and the callbacks that evaluate."""
        parser.add_argument("--run", type=str, required=True, help="Folder of the run; all stages write into it.")
        of_fit = "Checkpoint whose weights a new training begins with; of fit only."
        parser.add_argument("--init_from", type=str, default=None, help=of_fit)
        for_curve = (
            "Most checkpoints of the curve, at least 4: the best, the last, and others spread over the training, which "
            "fit keeps for the command curve; 0 for none."
        )
        parser.add_argument("--curve_checkpoints", type=int, default=0, help=for_curve)
        parser.add_class_arguments(WandbSettings, "wandb")
        for name, callback in _CALLBACKS.items():
            parser.add_lightning_class_args(callback, name)
        parser.link_arguments("data.init_args.n_frames", "model.init_args.n_frames")
        parser.link_arguments("data.init_args.frontend.n_mels", "model.init_args.n_mels")
        frame_settings = ("data.init_args.frontend.sample_rate", "data.init_args.frontend.hop")
        for name in ("fscore", "faithfulness", "predictions"):
            parser.link_arguments(frame_settings, f"{name}.frames_per_second", frame_rate)

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]  # which is static, and called on self
        """The stage, or all without one, each with the trainer's arguments that are not the user's to set."""
        skipped = LightningCLI.subcommands()
        for stage in ("validate", "test"):
            skipped[stage] |= {"verbose"}
        skipped["predict"] |= {"return_predictions"}
        skipped["curve"] = {"model", "datamodule"}
        return {stage: names for stage, names in skipped.items() if self._only in (None, stage)}

    # ---- build

    def _set_seed(self) -> None:
        """Check the numbers that nothing else checks, then seed."""
        check_numbers(self.config[self._stage])
        super()._set_seed()

    def _parse_ckpt_path(self) -> None:
        """Take no settings from a checkpoint: one that differs from the configuration is rejected instead."""

    def instantiate_classes(self) -> None:
        """Build data, model and trainer; a ValueError is a mistake in the configuration."""
        try:
            with configuration_errors():
                super().instantiate_classes()
        except ConfigurationError as error:
            if section := self._section(error):
                raise ConfigurationError(f"--{section}.{error}") from error
            raise

    def _section(self, error: ConfigurationError) -> str:
        """The section of the option that a constructor's message begins with; "" where it begins with none."""
        found = re.match(r"(\w+)[\w.]*(=|: | is )", str(error))
        option = found[1] if found else ""
        if option in self._get(self.config, "model").init_args and option not in ("n_mels", "n_frames"):
            return "model"
        if option in self._get(self.config, "data").init_args:
            return "data"
        for name, callback in _CALLBACKS.items():
            options = self._get(self.config, name)
            if option in options:
                try:
                    callback(**options)
                except ValueError as own:  # several have this option
                    if str(own) == str(error):
                        return name
        return ""

    def _add_configure_optimizers_method_to_model(self, subcommand: str | None) -> None:
        """Let `--optimizer` replace the optimiser of the model, and drop what the model says of its own."""
        config = self.config[self._stage]
        check_optimizer(config, self.model)
        if config.optimizer is None:
            return
        try:
            super()._add_configure_optimizers_method_to_model(subcommand)
        except (TypeError, ValueError, AssertionError) as error:
            given = {"--optimizer": config.optimizer, "--lr_scheduler": config.lr_scheduler}
            named = " ".join(f"{option} {each.class_path}" for option, each in given.items() if each is not None)
            raise ConfigurationError(f"{named}: {first_line(error)}") from error
        for option in RECIPE_HPARAMS:
            config.model.init_args.pop(option, None)
            self.model.hparams.pop(option, None)
        self.model.save_hyperparameters(dict(self.model.hparams))  # also what loggers read

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer; the run's own loggers join it once everything is checked."""
        config = self._get(self.config_init, "trainer")
        logger = False if config["logger"] is None or config["logger"] is True else config["logger"]
        folder = self._run.path
        if config["fast_dev_run"]:
            # What callbacks write in a trial run is thrown away.
            self._scratch = TemporaryDirectory(prefix=PROGRAM)
            folder = Path(self._scratch.name)
        elif self._stage == "fit":
            if config["enable_checkpointing"] is False:
                raise ConfigurationError(
                    "--trainer.enable_checkpointing false would leave nothing to test; leave it out, or try a training "
                    "out with --trainer.fast_dev_run true"
                )
            own = config["callbacks"] or []
            own = own if isinstance(own, list) else [own]
            check_monitors(own, self._get(self.config, "trainer"), self._get(self.config, "data"), self.model)
            n = self._get(self.config, "curve_checkpoints")
            # Before the others: what a training resumes from has them already.
            for_curve = [CurveCheckpoints(self._run, n)] if n else []
            config["callbacks"] = [*own, *for_curve, *run_checkpoints(own, self._run, self.model.monitor)]
        with scheduler_errors():
            try:
                trainer = super().instantiate_trainer(logger=logger, default_root_dir=folder, **kwargs)
            except (MisconfigurationException, ValueError) as error:
                option = f"--trainer.{name}: " if (name := _named_option(dict(config.items()), str(error))) else ""
                raise ConfigurationError(f"{option}{first_line(error)}") from error
            except (TypeError, ImportError) as error:
                machine = {name: config[name] for name in ("accelerator", "devices", "precision")}
                given = ", ".join(f"--trainer.{name} {value}" for name, value in machine.items() if value is not None)
                raise ConfigurationError(f"{given}: {first_line(error)}") from None
            if isinstance(trainer.strategy._checkpoint_io, CheckpointIO):
                raise ConfigurationError(
                    "--trainer.plugins: a run writes its checkpoints itself; leave CheckpointIO out"
                )
            if trainer.world_size == 1:
                # This process writes the results, also with the variables of another job in its environment.
                rank_zero_only.rank = 0  # type: ignore[attr-defined]
            elif SLURMEnvironment.detect() and int(os.environ.get("SLURM_STEP_ID", _NO_STEP)) >= _NO_STEP:
                raise RuntimeError(
                    f"SLURM tasks are expected, {trainer.world_size} in all, and this process is not one of them"
                )
        return trainer

    # ---- check

    def after_instantiate_classes(self) -> None:
        """Check run, checkpoint, explainers, data and the trainer's limits before anything is written."""
        self._resume = ResumePoint()
        if self._stage == "fit":
            self._check_fit()
            of_training = ""
        else:
            of_training = self._check_trained()
        callbacks = self.trainer.callbacks  # type: ignore[attr-defined]
        not_explained = check_callbacks(callbacks, self.model, self.datamodule, self._stage)
        self.datamodule.setup("validate" if self._stage == "curve" else self._stage)
        if self._stage == "predict":
            if not self._is_trial:
                require_unedited(self._run.path / self._stage)
            self._predictions.prepare(self.datamodule, self._checkpoint, self._saved_calibration)
        if self._stage == "fit" and isinstance(self.model, NearestNeighbours):
            held_out = f" (val_fraction holds out {len(self.datamodule.val_clips)} more)"
            self.model.check_clips(len(self.datamodule.train_clips), held_out)
        if self._stage == "curve":
            self._check_curve()
        left_out = check_limits(self._stage, self.trainer, self.datamodule)
        self._left_out = "" if self._is_trial else left_out
        cautions = [not_explained] if self._stage == "fit" else [not_explained, self._left_out, of_training]
        self._caution = "; ".join(filter(None, cautions))

    def _check_fit(self) -> None:
        """Find where an interrupted training resumes, or load the weights that a new one begins with."""
        config = self.config_init["fit"]
        if config.ckpt_path:
            raise ConfigurationError(
                "fit takes no --ckpt_path: the command of an interrupted training, given again, resumes it by itself, "
                "and --init_from CHECKPOINT begins a new training from the weights of another"
            )
        if config.curve_checkpoints and not getattr(self.datamodule, "labelled_validation", 0):
            rank_zero_warn(
                "the command curve will need labelled clips that leave the test set; hold out a share of them in fit "
                "already, with --data.labelled_validation 0.3"
            )
        if not self._is_trial:
            self._resume = find_resume_point(self._run, self._saved_config())
        if self._resume.checkpoint is not None:
            config.ckpt_path = str(self._resume.path)
        elif config.init_from is not None:
            path = Path(config.init_from)
            if not path.exists() or not config.init_from.strip():
                raise ConfigurationError(
                    f"--init_from {config.init_from!r} does not exist; name a checkpoint, such as "
                    "RUN/fit/checkpoints/best.ckpt"
                )
            self.model.load_state_dict(self._read_checkpoint(path)["state_dict"])

    def _check_trained(self) -> str:
        """Check the checkpoint of a later stage; returns a caution if its training is not whole."""
        config = self.config_init[self._stage]
        path = self._run.checkpoint(config.ckpt_path)
        self._checkpoint = self._read_checkpoint(path)
        self._saved_calibration = path.resolve().parent.parent / CALIBRATION_FILE  # of the run that trained
        config.ckpt_path = str(path)
        return training_caution(path, self._checkpoint)

    def _check_curve(self) -> None:
        """Find the checkpoints of the curve, and those that an interrupted evaluation has left to do."""
        require_labelled(self.datamodule)
        self._checkpoints = curve_checkpoints(self._run)
        for path in self._checkpoints.values():
            self._read_checkpoint(path)
        self._curve = rows_to_keep(self._run, self._saved_config(), self._checkpoints)
        left_out = unused_callbacks(self.trainer.callbacks)  # type: ignore[attr-defined]
        self.trainer.callbacks = [each for each in self.trainer.callbacks if each not in left_out]  # type: ignore[attr-defined]

    def _read_checkpoint(self, path: Path) -> Mapping[str, Any]:
        """Read a checkpoint and check that it fits the configuration."""
        checkpoint = read_checkpoint(path)
        check_checkpoint(checkpoint, self.model, str(path), self.datamodule.signal_settings)
        return checkpoint

    # ---- run

    @contextmanager
    def _in_folder(self) -> Iterator[list["RunWandbLogger"]]:
        """Keep other processes out of the stage's folder, prepare it, and mark it as finished at the end.

        Yields the loggers of Weights & Biases.
        """
        # Loads W&B, which takes half a second: the help and mistakes do without.
        from experiments.tracking.loggers import EpochTimer, build_loggers, wandb_loggers  # noqa: PLC0415

        stage, run = self._stage, self._run
        if self._caution:
            rank_zero_only(print)(f"caution: {self._caution}; this holds for {run.path / stage}", file=sys.stderr)
        if self._is_trial:
            with self._scratch:
                yield []
            return
        is_first = self.trainer.is_global_zero
        keeps_earlier = is_first and stage == "predict"  # its labels may be in use
        with run.alone(stage) if is_first else nullcontext(), run.replacing(stage) if keeps_earlier else nullcontext():
            if stage == "fit":
                self.trainer.callbacks += [CheckpointedScalars(), StayStopped(), PlateauSteps(), EpochTimer()]  # type: ignore[attr-defined]
            self.trainer.strategy.checkpoint_io = AtomicCheckpointIO()
            tracking = self.config_init[stage].wandb
            n_train = len(self.datamodule.train_clips) if stage == "fit" else None
            own_loggers = build_loggers(run.path, stage, tracking, self._saved_config(), n_train)
            self.trainer.loggers = own_loggers + self.trainer.loggers
            if is_first:
                self._clear_earlier()
                for logger in wandb_loggers(own_loggers):
                    logger.replace_earlier(read_scalars(run.path / stage / "metrics.csv"))
                if self._caution and stage != "fit":
                    write_atomically(run.path / stage / CAUTION_FILE, f"{self._caution}\n".encode())
            yield wandb_loggers(own_loggers)
            if is_first and stage == "fit":
                run.mark_finished(stage)
            for logger in wandb_loggers(own_loggers):
                logger.log_files(tracking)
        if is_first and stage not in ("fit", "test"):  # the summary of a test names its folder
            print(run.path / stage)

    def _clear_earlier(self) -> None:
        """Delete what the stage has left here earlier, except what it goes on with."""
        stage, run = self._stage, self._run
        if stage == "fit":
            self._resume.prepare(run)
        if stage == "curve" and len(self._curve):
            (run.path / stage / CAUTION_FILE).unlink(missing_ok=True)
            delete_single_results(run.path / stage)
        elif self._resume.checkpoint is None and stage != "predict":
            run.clear(stage)
            if stage == "fit":
                run.clear("curve")  # of other weights

    def fit(self, **kwargs: Any) -> None:
        """Train; where it stops early, the message explains whether the same command resumes it."""
        with self._in_folder():
            last = self._run.last_checkpoint
            try:
                self.trainer.fit(**kwargs)
            except (SystemExit, KeyboardInterrupt) as stop:  # Lightning makes the first of the second
                begins = "resumes after the last whole epoch" if last.is_file() else "begins it again"
                raise Stopped(f" in epoch {self.trainer.current_epoch + 1}; the same command {begins}") from stop
            except TrainingError as error:
                kept = f", and {last.parent} has the epochs before; name another --run" if last.is_file() else ""
                raise TrainingError(f"{error}. {WOULD_FAIL_AGAIN}{kept}") from error
            if self._resume.checkpoint is None and self.trainer.global_step == 0:
                raise ConfigurationError("the training made no step; look at the limits given with --trainer")
            if not self._is_trial:
                rank_zero_only(complete_best)(self._run, self.trainer.callbacks)  # type: ignore[attr-defined]
                self._tell_what_cut_the_training()
                self._calibrate()

    def _calibrate(self) -> None:
        """Keep the scores that the best weights give to the normal clips held out, for the alarms of `predict`."""
        trainer, best = self.trainer, self._run.checkpoint("best")
        scores = CalibrationScores(self.datamodule.frames_per_second)
        before = trainer.callbacks, trainer.loggers  # type: ignore[attr-defined]
        trainer.callbacks, trainer.loggers = [scores], []  # type: ignore[attr-defined]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the data, which the training has given
                trainer.validate(self.model, datamodule=self.datamodule, ckpt_path=best, verbose=False)
        finally:
            trainer.callbacks, trainer.loggers = before  # type: ignore[attr-defined]
        if trainer.is_global_zero and scores.recordings:  # none without validation
            checkpoint = read_checkpoint(best)
            calibration = Calibration.of_recordings(scores.recordings, checkpoint["epoch"], checkpoint["global_step"])
            calibration.save(self._run.fit_config.with_name(CALIBRATION_FILE))

    @rank_zero_only
    def _tell_what_cut_the_training(self) -> None:
        """Print what limits have cut, and keep it for the stages that use the weights."""
        fit = self._run.fit_config.parent
        (fit / CAUTION_FILE).unlink(missing_ok=True)  # of a training that has gone on
        if cuts := "; ".join(filter(None, [self._left_out, time_caution(self.trainer)])):
            caution = f"{TRAINED_IN_PART}: {cuts}"
            write_atomically(fit / CAUTION_FILE, f"{caution}\n".encode())
            print(f"caution: {caution}; this holds for {fit} and later stages", file=sys.stderr)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Run a later stage in the run's folder; where it is stopped, the message says after how many batches."""
        with self._in_folder():
            try:
                yield
            except (SystemExit, KeyboardInterrupt) as stop:  # Lightning makes the first of the second
                loop = getattr(self.trainer, f"{self._stage}_loop")
                done = f"after {loop.batch_progress.total.completed} of {sum(loop.max_batches)} batches"
                raise Stopped(f" {done}; the same command begins {self._stage} again") from stop

    def validate(self, **kwargs: Any) -> None:
        """Evaluate the validation clips; the results are in the run's folder."""
        with self._evaluating():
            of_loaders = self.trainer.validate(verbose=False, **kwargs)
            scalars = {name: value for of_loader in of_loaders for name, value in of_loader.items()}
            if scalars and self.trainer.is_global_zero and not self._is_trial:
                print(", ".join(f"{name} {value:.4g}" for name, value in scalars.items()))

    def curve(self, **kwargs: Any) -> None:
        """Evaluate the checkpoints of the training, and show the curve on Weights & Biases."""
        with self._in_folder() as loggers:
            if self._is_trial:
                self.trainer.validate(verbose=False, **kwargs)
                return
            # W&B gets the whole curve instead of each evaluation.
            self.trainer.loggers = [each for each in self.trainer.loggers if each not in loggers]
            curve = evaluate_checkpoints(
                self.trainer, self.model, self.datamodule, self._run, self._checkpoints, self._curve
            )
            for logger in loggers:
                logger.log_curve(curve)
            if self.trainer.is_global_zero:
                self._run.mark_finished("curve")

    def test(self, **kwargs: Any) -> None:
        """Evaluate the test clips and print a summary instead of Lightning's table of a thousand rows."""
        with self._evaluating():
            self.trainer.test(verbose=False, **kwargs)
            if self.trainer.is_global_zero and not self._is_trial:
                self._run.mark_finished("test")  # or the summary would warn that it is not
                print_summary(self._run.path)

    def predict(self, **kwargs: Any) -> None:
        """Predict without keeping every reconstruction in memory."""
        with self._evaluating():
            self.trainer.predict(return_predictions=False, **kwargs)
            outcome = self._predictions.outcome
            if outcome is not None and not self._is_trial:
                from experiments.report.prediction_page import write_prediction_page  # noqa: PLC0415  draws

                page = write_prediction_page(self._run.path / "predict", outcome, self.datamodule)
                print(*outcome.summary, f"To look at and to listen to: {page}", sep="\n")
                print("Scores of the recordings in decreasing order: predictions.csv in this folder:")

    @property
    def _stage(self) -> str:
        return str(self.subcommand)

    @property
    def _predictions(self) -> Predictions:
        return next(each for each in self.trainer.callbacks if isinstance(each, Predictions))  # type: ignore[attr-defined]

    @property
    def _run(self) -> RunFolder:
        return RunFolder(self._get(self.config, "run"))

    @property
    def _is_trial(self) -> bool:
        """Whether nothing is to be written."""
        return bool(self.trainer.fast_dev_run)  # type: ignore[attr-defined]

    def _saved_config(self) -> dict[str, Any]:
        """The stage's configuration as its file would contain it."""
        text = self._parser(self.subcommand).dump(self.config[self._stage], skip_unset=False, skip_validation=True)
        saved: dict[str, Any] = OmegaConf.to_container(OmegaConf.create(text), resolve=True)  # type: ignore[assignment]
        return saved
