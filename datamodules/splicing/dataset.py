"""An annotated test set, and its control, from real clips that nobody annotated."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from datamodules.annotations import ANNOTATION_FILE
from datamodules.audio import read_audio
from datamodules.errors import DataError, require
from datamodules.files import require_new_folder, write_recording, written_as_a_whole
from datamodules.layouts import Clip
from datamodules.progress import track_clips
from datamodules.provenance import Provenance, write_provenance
from datamodules.splicing.choice import (
    SHORTEST_SECONDS,
    Splice,
    choose_anomalies,
    choose_controls,
    common_rate,
    draw_intervals,
    draw_pools,
    read_recordings,
    scan,
)
from datamodules.splicing.sound import Array, FrameDeviation, equalise, insert
from lightning_modules.files import write_rows

MANIFEST_FILE = "manifest.csv"
_MANIFEST = (
    "set", "file", "host", "donor", "start", "end", "donor_start", "sample_rate", "gain_db", "background_difference_db",
)  # fmt: skip

SPLICED, CONTROL = "spliced", "control"
_DESCRIPTIONS = {
    SPLICED: "Pieces of real anomalous clips are spliced into real normal clips; what is annotated is where they are.",
    CONTROL: "Control: pieces of real normal clips are spliced into other real normal clips; what is annotated is "
    "where they are, and nothing in it is anomalous.",
}
_POOLS, _INTERVALS, _PIECES = range(3)  # what a random stream is for


def splice(
    source: str,
    output: str,
    machine: str | None = None,
    section: str | None = None,
    clips: int = 25,
    percentile: float = 99,
    fade: float = 0.04,
    seed: int = 0,
) -> Path:
    """Makes an annotated test set, and a control, from real clips that nobody annotated in time.

    ``spliced`` in the output has pieces of anomalous clips in normal ones, ``control`` pieces of normal clips in other
    normal ones, at the same intervals. Each is an audio folder with ``train/``, ``test/normal/``,
    ``test/anomaly/<type>/``, ``annotations.csv`` and ``provenance.json``, which marks it as constructed;
    ``manifest.csv`` beside them lists what was cut from where. The same source and seed give the same bytes.

    Args:
        source: Folder of DCASE Task 2 data, or an audio folder with train, test/normal and test/anomaly.
        output: Folder to make; it may exist only if it is empty.
        machine: Name of the machine's folder, if the source is DCASE data.
        section: One of its sections; all by default.
        clips: Number of spliced clips, and of clips of the control.
        percentile: Half the frames of a piece deviate from the training clips more than this share of the training
            clips' own frames from each other, in %. With 0 a piece is the most deviating stretch of its clip, however
            little it deviates.
        fade: Length of the cross-fades, s.
        seed: Seed of all draws.

    Returns:
        The folder written.

    Raises:
        DataError: The source has too few clips, or clips that cannot be used, an option is out of range, or the output
            holds files or cannot be written.
    """
    root = Path(output)
    require(clips >= 1, "clips", clips, "at least 1")
    require(0 <= percentile < 100, "percentile", percentile, "at least 0 and below 100")
    require(0.001 <= fade <= 0.2, "fade", fade, "between 0.001 and 0.2 seconds")
    require(seed >= 0, "seed", seed, "at least 0")
    require_new_folder(root, "the spliced set")
    layout = scan(Path(source), machine, section)
    pools = draw_pools([clip for clip in layout.test if clip.label == 0], clips, _stream(seed, _POOLS))
    hosts = read_recordings(pools.hosts, "Reading hosts")
    control_hosts = read_recordings(pools.control_hosts, "Reading hosts of the control")
    control_donors = read_recordings(pools.control_donors, "Reading donors of the control")
    anomalous = read_recordings([clip for clip in layout.test if clip.label == 1], "Reading anomalous clips")
    together = [*hosts, *control_hosts, *control_donors, *anomalous]
    sample_rate = common_rate(together)
    seconds = min(recording.samples for recording in together) // sample_rate
    if seconds < SHORTEST_SECONDS:
        raise DataError(f"{source} has test clips of less than {SHORTEST_SECONDS} s; longer ones can be spliced")
    stream = _stream(seed, _INTERVALS)
    intervals = [draw_intervals(seconds, stream) for _ in range(clips)]
    training = read_recordings(layout.training, "Reading training clips")
    deviation = FrameDeviation([recording.spectrogram for recording in training], percentile)
    sets = {
        SPLICED: choose_anomalies(hosts, anomalous, intervals, deviation),
        CONTROL: choose_controls(control_hosts, control_donors, intervals, _stream(seed, _PIECES)),
    }
    settings = {
        "machine": machine, "section": section, "clips": clips, "percentile": percentile, "fade": fade, "seed": seed,
    }  # fmt: skip
    with written_as_a_whole(root) as built:
        for name, splices in sets.items():
            _link(layout.training, built / name, "train")
            _link(pools.normal, built / name, "test/normal")
            _write_spliced(built, name, splices, round(fade * sample_rate))
            write_provenance(built / name, Provenance("by splicing", _DESCRIPTIONS[name], settings))
        _write_manifest(built / MANIFEST_FILE, sets, sample_rate)
    return root


def render(splice: Splice, fade: int) -> tuple[Array, int]:
    """Samples of a spliced clip, at most 1 in magnitude, and their rate in Hz; cross-fades take `fade` samples."""
    (host, sample_rate), (donor, _) = (read_audio(clip.path) for clip in (splice.host, splice.donor))
    result, equalised = host.numpy(), equalise(donor.numpy(), sample_rate, splice.gain)
    for piece in splice.pieces:
        cut = equalised[piece.donor_start : piece.donor_start + piece.end - piece.start]
        result = insert(result, cut, piece.start, fade)
    return np.clip(result, -1, 1), sample_rate


def _stream(seed: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose,)))


def _link(clips: Sequence[Clip], root: Path, split: str) -> None:
    """Link clips into another set; they are copied if the file system does not support links."""
    for clip in clips:
        # <machine>/train/a.wav, train/a.wav, <machine>/test/a.wav or test/normal/a.wav
        name = f"/{clip.name}".partition(f"/{split.partition('/')[0]}/")[2].removeprefix("normal/")
        path = root / split / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(clip.path, path)
        except OSError:
            shutil.copyfile(clip.path, path)


def _write_spliced(root: Path, name: str, splices: Sequence[Splice], fade: int) -> None:
    folder = root / name / "test" / "anomaly" / name
    folder.mkdir(parents=True)
    rows = []
    for i, splice in enumerate(track_clips(splices, f"Writing {name} clips", len(splices))):
        samples, rate = render(splice, fade)
        write_recording(folder / _file(name, i), samples, rate)
        rows += [(_file(name, i), piece.start / rate, piece.end / rate, name) for piece in splice.pieces]
    write_rows(root / name / ANNOTATION_FILE, ("file", "start", "end", "type"), rows)


def _write_manifest(path: Path, sets: Mapping[str, Sequence[Splice]], sample_rate: int) -> None:
    """Write what was cut from where: starts and ends in samples."""
    rows = [
        (
            name, _file(name, i), splice.host.name, splice.donor.name, piece.start, piece.end, piece.donor_start,
            sample_rate, f"{splice.gain.mean():.2f}", f"{splice.background_difference:.2f}",
        )
        for name, splices in sets.items()
        for i, splice in enumerate(splices)
        for piece in splice.pieces
    ]  # fmt: skip
    write_rows(path, _MANIFEST, rows)


def _file(name: str, number: int) -> str:
    return f"{name}_{number:04}.wav"
