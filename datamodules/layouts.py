"""Where each kind of data set keeps its clips: folders and file names in, a list of clips out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from datamodules.errors import DataError
from datamodules.spectrograms import AUDIO_SUFFIXES, TENSOR_SUFFIX

CLIP_SUFFIXES = (TENSOR_SUFFIX, *AUDIO_SUFFIXES)

UNNAMED_ANOMALY = "anomaly"
"""Type of an anomalous clip whose data set does not name types."""

_DCASE_2020_NAME = re.compile(r"(?P<label>normal|anomaly)_(?P<section>id_\d+)_\d+")
_DCASE_2022_NAME = re.compile(
    r"(?P<section>section_\d+)_(?:source|target)_(?:train|test)_(?P<label>normal|anomaly)_\d+(?:_.*)?"
)


@dataclass(frozen=True)
class Clip:
    """One clip of a data set.

    Attributes:
        path: The file.
        name: Its path relative to the data root, with forward slashes.
        label: 0 normal, 1 anomalous.
        anomaly_type: Type of the anomaly, empty for a normal clip.
        intervals: Annotated parts of the clip as (start, end) in seconds; empty where nobody annotated it.
    """

    path: Path
    name: str
    label: int
    anomaly_type: str = ""
    intervals: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        """Raise DataError if no file of results could hold the name."""
        try:
            self.name.encode()
        except UnicodeEncodeError:
            raise DataError(
                f"{str(self.path)!a}: the name is not UTF-8, as after unpacking an old archive; rename the file"
            ) from None


@dataclass(frozen=True)
class Layout:
    """The clips of a data set: normal ones to train on, and both kinds to test on."""

    training: tuple[Clip, ...]
    test: tuple[Clip, ...]


def scan_planer(root: Path) -> Layout:
    """Scan the published planer layout, holding spectrograms (``.pt``) or recordings (``.wav``, ``.flac``).

    Clips lie in ``training/`` at any depth, ``evaluation/normal/`` and ``evaluation/anomalies/<type>/``.

    Raises:
        DataError: A folder is missing or empty, or a clip is there twice.
    """
    training, normal, anomalies = _require_folders(
        root, "training", "evaluation/normal", "evaluation/anomalies", data_set="planer"
    )
    return Layout(
        training=_clips(root, _files(training)),
        test=_clips(root, _files(normal)) + _typed_anomalies(root, anomalies),
    )


def scan_audio_folder(root: Path) -> Layout:
    """Scan a folder with ``train/``, ``test/normal/`` and ``test/anomaly/``.

    Folders inside ``test/anomaly/``, if any, name the types of anomaly.

    Raises:
        DataError: A folder is missing or empty, or a clip is there twice.
    """
    training, normal, anomaly = _require_folders(root, "train", "test/normal", "test/anomaly", data_set="audio folder")
    return Layout(
        training=_clips(root, _files(training)),
        test=_clips(root, _files(normal)) + _typed_anomalies(root, anomaly),
    )


def scan_dcase(root: Path, machine: str, section: str | None = None) -> Layout:
    """Scan one machine of DCASE Task 2 development data: ``<machine>/train/`` and ``<machine>/test/``.

    File names are those of 2020 (``normal_id_00_00000000.wav``) or of 2022 and later
    (``section_00_source_test_anomaly_0001_<attributes>.wav``).

    Args:
        root: Folder that holds one folder a machine.
        machine: Name of the machine's folder.
        section: ``id_00`` or ``section_00``, or ``None`` for all of the machine.

    Raises:
        DataError: A folder is missing or empty, the machine or section does not exist, or a file name is of
            another form.
    """
    _require_folder(root)
    machines = sorted(folder.name for folder in root.iterdir() if (folder / "train").is_dir())
    if machine not in machines:
        found = f"there are: {', '.join(machines)}" if machines else "no folder there has a train/ inside"
        raise DataError(f"--data.machine {machine} is not in --data.root {root}; {found}")
    training, test = _require_folders(root, f"{machine}/train", f"{machine}/test", data_set="DCASE")
    layout = Layout(
        training=_dcase_clips(root, _files(training), section),
        test=_dcase_clips(root, _files(test), section),
    )
    anomalous = next((clip for clip in layout.training if clip.label == 1), None)
    if anomalous is not None:
        raise DataError(f"{anomalous.path} is anomalous by its name, yet lies among the training clips")
    return layout


def scan_files(path: Path) -> tuple[Clip, ...]:
    """List a single file, or all clips in a folder at any depth, as unlabelled (normal) clips.

    Raises:
        DataError: Nothing there, or no clip.
    """
    if path.is_file():
        if path.suffix.lower() not in CLIP_SUFFIXES:
            raise DataError(f"{path} is no clip: its suffix is none of {', '.join(CLIP_SUFFIXES)}")
        return _clips(path.parent, [path])
    if not path.is_dir():
        raise DataError(f"--data.predict_path {path} does not exist; name a recording or a folder of recordings")
    return _clips(path, _files(path))


def _require_folder(root: Path) -> None:
    if not root.is_dir():
        raise DataError(f"--data.root {root} is not a folder")


def _require_folders(root: Path, *names: str, data_set: str) -> list[Path]:
    _require_folder(root)
    missing = [name for name in names if not (root / name).is_dir()]
    if missing:
        raise DataError(
            f"--data.root {root} has not the {data_set} layout: "
            f"looked for {_folder_list(names)}, of which {_folder_list(missing)} not found"
        )
    return [root / name for name in names]


def _folder_list(names: Iterable[str]) -> str:
    return ", ".join(f"{name}/" for name in names)


def _files(folder: Path) -> list[Path]:
    """All clips at any depth, in the order of their names; one clip in two formats is refused.

    A link to nothing is a clip too: who reads it says so, instead of going on with fewer clips.
    """
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in CLIP_SUFFIXES
        and (path.is_file() or not path.exists())
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not files:
        raise DataError(f"{folder} holds no clips ({', '.join(CLIP_SUFFIXES)})")
    seen: dict[Path, Path] = {}
    for path in files:
        twin = seen.setdefault(path.with_suffix(""), path)
        if twin is not path:
            raise DataError(f"{path} and {twin.name} beside it are one clip in two formats; remove one")
    return files


def _clips(root: Path, files: Sequence[Path]) -> tuple[Clip, ...]:
    return tuple(Clip(path, path.relative_to(root).as_posix(), label=0) for path in files)


def _typed_anomalies(root: Path, folder: Path) -> tuple[Clip, ...]:
    return tuple(
        Clip(
            path,
            path.relative_to(root).as_posix(),
            label=1,
            anomaly_type=UNNAMED_ANOMALY if path.parent == folder else path.relative_to(folder).parts[0],
        )
        for path in _files(folder)
    )


def _dcase_clips(root: Path, files: Sequence[Path], section: str | None) -> tuple[Clip, ...]:
    clips, sections = [], set()
    for path in files:
        match = _DCASE_2020_NAME.fullmatch(path.stem) or _DCASE_2022_NAME.fullmatch(path.stem)
        if match is None:
            raise DataError(f"{path} has no file name of DCASE Task 2 development data (2020, or 2022 and later)")
        sections.add(match["section"])
        if section in (None, match["section"]):
            label = int(match["label"] == "anomaly")
            name = path.relative_to(root).as_posix()
            clips.append(Clip(path, name, label, anomaly_type=UNNAMED_ANOMALY if label else ""))
    if not clips:
        raise DataError(
            f"--data.section {section} is not in {files[0].parent}; there are: {', '.join(sorted(sections))}"
        )
    return tuple(clips)
