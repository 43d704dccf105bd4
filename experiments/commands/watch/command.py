"""`faithful-aad watch`: scores, alarms and events of a running machine, as JSON lines."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from datamodules.live import SampleFormat
from lightning_modules.errors import ConfigurationError


def watch(
    run: str | None = None,
    model: str | None = None,
    file: str | None = None,
    rate: int | None = None,
    channels: int = 1,
    format: SampleFormat = "s16le",
    hop: float | None = None,
    alpha: float | None = None,
    false_alarms_per_day: float | None = None,
    persistence: str = "1/1",
    alarm_score: Literal["score", "masked_score"] = "score",
    calibrate: str | None = None,
    block: float | None = None,
    stop_after: float | None = None,
) -> None:
    """Score sound while it is recorded, and print a JSON line for each window and each event.

    The sound is raw samples on standard input, as `arecord -t raw` and `ffmpeg -f s16le -` write them, or a WAV file
    that grows.

    Args:
        run: Folder of a trained run.
        model: File that export wrote, in place of a run.
        file: WAV file that is being recorded, in place of standard input.
        rate: Sample rate of standard input in Hz; that of the model's front end by default.
        channels: Number of channels of standard input.
        format: Samples of standard input, by ffmpeg's names.
        hop: Seconds from window to window; by default they do not overlap.
        alpha: Highest probability that a normal stretch, as long as those of the calibration, raises an alarm; 0.05, or
            what the calibration allows, by default.
        false_alarms_per_day: The highest expected number of such stretches per day, in place of alpha.
        persistence: k/n, where a window above the threshold counts if k of n consecutive ones are above it.
        alarm_score: Score that decides about alarms.
        calibrate: Recording, or folder of recordings, of normal operation whose scores calibrate, or calibration.npz
            that `predict --calibrate` has saved by the same model and hop; what the run or file has by default.
        block: Seconds of the blocks into which calibration recordings are cut; each is one stretch by default.
        stop_after: Seconds without new samples after which a WAV file counts as complete; by default it is watched
            until Ctrl-C.

    Raises:
        ConfigurationError: If an option does not fit, there is no trained model, or the calibration does not allow the
            alarms that are asked for.
        DataError: If the sound can't be used.
    """
    if (run is None) == (model is None):
        raise ConfigurationError("give --run or --model: the folder of a trained run, or a file that export wrote")
    if file is None and stop_after is not None:
        raise ConfigurationError("--stop_after is for --file; standard input ends when its writer closes it")
    if file is not None and (rate is not None or channels != 1 or format != "s16le"):
        raise ConfigurationError("--rate, --channels and --format are for standard input; a WAV file has its own")
    # They load Lightning.
    from experiments.commands.watch.models import OnnxModel, TorchModel  # noqa: PLC0415
    from experiments.commands.watch.source import Source  # noqa: PLC0415
    from experiments.commands.watch.watching import Watch  # noqa: PLC0415
    from experiments.predictions.decisions import AlarmSettings  # noqa: PLC0415
    from experiments.runs.folder import RunFolder  # noqa: PLC0415

    settings = AlarmSettings(alpha, false_alarms_per_day, persistence, alarm_score)
    chosen = TorchModel(RunFolder(run)) if run is not None else OnnxModel(Path(str(model)).expanduser())
    path = None if file is None else Path(file).expanduser()
    source = Source(path, rate or chosen.front_end.settings.sample_rate, channels, format, stop_after)
    watching = Watch(chosen, hop, settings)
    if calibrate is not None:
        watching.calibrate(Path(calibrate).expanduser(), block)
    elif block is not None:
        raise ConfigurationError("--block is for the recordings of --calibrate")
    watching.run(source)
