"""The clips of each kind of data set, from its folders and file names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch

from datamodules.errors import DataError
from datamodules.files import AUDIO_SUFFIXES, TENSOR_SUFFIX, find_files, left_out_text, walk

CLIP_SUFFIXES = (TENSOR_SUFFIX, *AUDIO_SUFFIXES)

UNNAMED_ANOMALY = "anomaly"
"""Type of an anomalous clip whose data set does not name types."""

_DCASE_NAMES = (
    re.compile(r"(?P<label>normal|anomaly)_(?P<section>id_\d+)_\d+"),  # 2020
    re.compile(r"(?P<section>section_\d+)_(?:source|target)_(?:train|test)_(?P<label>normal|anomaly)_\d+(?:_.*)?"),
    # Evaluation data: 2020, then 2021 and later.
    re.compile(r"(?P<section>id_\d+)_\d+"),
    re.compile(r"(?P<section>section_\d+)(?:_(?:source|target))?(?:_test)?_\d+(?:_.*)?"),
)
"""Names of DCASE Task 2 clips; those of the evaluation data have no label."""

_DCASE_TEST_FOLDERS = ("test", "source_test", "target_test")
"""2021 has one folder for each domain of the test clips."""


@dataclass(frozen=True)
class Clip:
    """One clip of a data set.

    Attributes:
        path: The file.
        name: Its path relative to the data root, with forward slashes.
        label: 0 normal, 1 anomalous.
        anomaly_type: Type of the anomaly, empty for a normal clip.
        intervals: Annotated parts of the clip as (start, end) in seconds; empty if it is not annotated.
    """

    path: Path
    name: str
    label: int
    anomaly_type: str = ""
    intervals: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        """Raise a DataError if files of results could not contain the name."""
        try:
            self.name.encode()
        except UnicodeEncodeError:
            raise DataError(
                f"{str(self.path)!a}: the name is not UTF-8, as after unpacking an old archive; rename the file"
            ) from None


@dataclass(frozen=True)
class Layout:
    """The clips of a data set, normal ones for training and labelled ones for testing.

    ``test_problem`` says why nothing can be tested, if so; ``left_out`` are files that cannot be read as clips.
    """

    training: tuple[Clip, ...]
    labelled: tuple[Clip, ...] = ()
    test_problem: str = ""
    left_out: tuple[Path, ...] = ()

    @property
    def test(self) -> tuple[Clip, ...]:
        """Normal and anomalous clips to test on; raises a DataError if nothing can be tested."""
        if self.test_problem:
            raise DataError(self.test_problem)
        return self.labelled


def scan_planer(root: Path) -> Layout:
    """Scan ``training/``, ``evaluation/normal/`` and ``evaluation/anomalies/<type>/``; the latter two are for testing.

    Raises:
        DataError: ``training/`` is missing or empty, or a clip is there twice.
    """
    return _scan_labelled_folders(root, "planer", "training", "evaluation/normal", "evaluation/anomalies")


def scan_audio_folder(root: Path) -> Layout:
    """Scan ``train/``, ``test/normal/`` and ``test/anomaly/``; the latter two are for testing.

    Folders inside ``test/anomaly/``, if any, name the types of anomaly.

    Raises:
        DataError: ``train/`` is missing or empty, or a clip is there twice.
    """
    return _scan_labelled_folders(root, "audio folder", "train", "test/normal", "test/anomaly")


def scan_dcase(root: Path, machine: str, section: str | None = None) -> Layout:
    """Scan ``<machine>/train/`` and ``<machine>/test/`` of DCASE Task 2 data, all sections or one.

    File names are those of 2020 (``normal_id_00_00000000.wav``) or of 2021 and later
    (``section_00_source_test_anomaly_0001_<attributes>.wav``), whose test clips may lie in ``source_test/`` and
    ``target_test/``. Test clips without a label in their names (evaluation data) cannot be tested on.

    Raises:
        DataError: ``train/`` is missing or empty, the machine or section does not exist, or a file name has another
            form.
    """
    require_folder(root)
    _require_named(
        "machine", machine, folders_with(root, is_dcase_machine), root, "no folder there has a train/ inside"
    )
    search = _Search()
    training = _dcase_clips(root, search.clips(root / machine / "train"), section)
    anomalous = next((clip for clip in training if clip.label == 1), None)
    if anomalous is not None:
        raise DataError(f"{anomalous.path} is anomalous by its name, but is among the training clips")

    def test_clips() -> tuple[Clip, ...]:
        folders = [folder for name in _DCASE_TEST_FOLDERS if (folder := root / machine / name).is_dir()]
        if not folders:
            _require_folders(root, f"{machine}/train", f"{machine}/test", data_set="DCASE")
        files = list(chain.from_iterable(map(search.clips, folders)))
        clips = _dcase_clips(root, files, section)
        unlabelled = [clip.path for clip in clips if "label" not in _dcase_name(clip.path)]
        if unlabelled:
            raise DataError(
                f"{len(unlabelled):,} of {len(clips):,} test clips have no label in their names, such as "
                f"{unlabelled[0]}; score them with predict and predict_path={unlabelled[0].parent}"
            )
        return clips

    return search.layout(training, test_clips)


def scan_mimii(root: Path, machine: str, section: str | None = None, seed: int = 0) -> Layout:
    """Scan ``<machine>/<id>/normal/`` and ``<machine>/<id>/abnormal/`` of MIMII data, all ids or one (the section).

    The test set is all abnormal and as many normal clips of each id, drawn with the seed; the other normal clips are
    the training set.

    Raises:
        DataError: The machine or id does not exist, a folder is empty, or an id has too few normal clips.
    """
    require_folder(root)
    _require_named(
        "machine", machine, folders_with(root, mimii_sections), root, "no folder there has an id_00/normal/ inside"
    )
    sections = mimii_sections(root / machine)
    if section is not None:
        _require_named("section", section, sections, root / machine, "")
        sections = [section]
    search = _Search()
    training: list[Clip] = []
    test: list[Clip] = []
    lacking = [f"{machine}/{name}/abnormal" for name in sections if not (root / machine / name / "abnormal").is_dir()]
    for name in sections:
        folder = root / machine / name
        normal = _clips(root, search.clips(folder / "normal"))
        abnormal = [] if lacking else search.clips(folder / "abnormal")
        if len(abnormal) >= len(normal):
            raise DataError(
                f"{folder} holds {len(normal)} normal and {len(abnormal)} abnormal clips; as many normal as abnormal "
                "clips are for testing, which leaves none to train on"
            )
        order = torch.randperm(len(normal), generator=torch.Generator().manual_seed(seed)).tolist()
        drawn = set(order[: len(abnormal)])
        training += [clip for position, clip in enumerate(normal) if position not in drawn]
        test += [clip for position, clip in enumerate(normal) if position in drawn]
        test += [_clip(root, path, UNNAMED_ANOMALY) for path in abnormal]
    problem = f"{root} cannot be tested on: {_folder_list(lacking)} not found" if lacking else ""
    return Layout(tuple(training), tuple(test), problem, tuple(search.left_out))


def is_dcase_machine(folder: Path) -> bool:
    """Whether a folder can be a machine of the DCASE layout."""
    return (folder / "train").is_dir()


def folders_with(root: Path, test: Callable[[Path], object]) -> list[str]:
    """Names of the folders in a root that pass a test."""
    return sorted(folder.name for folder in root.iterdir() if test(folder)) if root.is_dir() else []


def mimii_sections(machine: Path) -> list[str]:
    """Ids of a machine in the MIMII layout; empty if the folder does not have that layout."""
    if not machine.is_dir():
        return []
    return sorted(folder.name for folder in machine.glob("id_*") if (folder / "normal").is_dir())


def scan_files(path: Path) -> Layout:
    """List a single file, or all clips in a folder at any depth, as unlabelled clips (label 0).

    Raises:
        DataError: The path does not exist or holds no clips.
    """
    if path.is_file():
        if path.suffix.lower() not in CLIP_SUFFIXES:
            raise DataError(f"{path} is not a clip: its suffix is not one of {', '.join(CLIP_SUFFIXES)}")
        return Layout((), _clips(path.parent, [path]))
    if not path.is_dir():
        raise DataError(f"{path} does not exist; name a recording or a folder of recordings")
    search = _Search()
    return Layout((), _clips(path, search.clips(path)), left_out=tuple(search.left_out))


def looks_like_dcase(folder: Path) -> bool:
    """Whether the clips in a folder, if any, are named as those of DCASE Task 2."""
    named = [path for path in walk(folder) if path.suffix.lower() in CLIP_SUFFIXES]
    return all(any(name.fullmatch(path.stem) for name in _DCASE_NAMES) for path in named)


class _Search:
    """Finds clips in several folders and collects the files that it leaves out."""

    def __init__(self) -> None:
        self.left_out: list[Path] = []

    def clips(self, folder: Path) -> list[Path]:
        """All clips in a folder; raises for one clip in two formats."""
        files, others = find_files(folder, CLIP_SUFFIXES)
        if not files:
            reason = f": {left_out_text(others)}" if others else ""
            raise DataError(f"{folder} holds no clips ({TENSOR_SUFFIX}, .wav, .flac, .ogg, .mp3, …){reason}")
        self.left_out += others
        seen: dict[Path, Path] = {}
        for path in files:
            twin = seen.setdefault(path.with_suffix(""), path)
            if twin is not path:
                raise DataError(
                    f"{path} and {twin.name} beside it are one clip in two formats; move one of them elsewhere"
                )
        return files

    def layout(self, training: tuple[Clip, ...], test: Callable[[], tuple[Clip, ...]]) -> Layout:
        """The clips; if listing the test clips raises, the error becomes the reason why nothing can be tested."""
        try:
            labelled, problem = test(), ""
        except DataError as error:
            labelled, problem = (), str(error)
        return Layout(training, labelled, problem, tuple(self.left_out))


def _scan_labelled_folders(root: Path, data_set: str, training: str, normal: str, anomalies: str) -> Layout:
    require_folder(root)
    if not (root / training).is_dir():
        _require_folders(root, training, normal, anomalies, data_set=data_set)
    search = _Search()

    def test_clips() -> tuple[Clip, ...]:
        _require_folders(root, training, normal, anomalies, data_set=data_set)
        files = [(path, path.relative_to(root / anomalies).parts[:-1]) for path in search.clips(root / anomalies)]
        anomalous = [_clip(root, path, folders[0] if folders else UNNAMED_ANOMALY) for path, folders in files]
        return (*_clips(root, search.clips(root / normal)), *anomalous)

    return search.layout(_clips(root, search.clips(root / training)), test_clips)


def require_folder(root: Path) -> None:
    """Raise a DataError unless the root of a data set is a folder."""
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; name the folder of a data set")


def _require_named(option: str, name: str, names: Sequence[str], folder: Path, nothing: str) -> None:
    if name not in names:
        found = f"there are: {', '.join(names)}" if names else nothing
        raise DataError(f"{option}={name} is not in {folder}; {found}")


def _require_folders(root: Path, *names: str, data_set: str) -> None:
    missing = [name for name in names if not (root / name).is_dir()]
    if missing:
        raise DataError(
            f"{root} does not have the {data_set} layout: "
            f"expected {_folder_list(names)}, of which {_folder_list(missing)} not found"
        )


def _folder_list(names: Iterable[str]) -> str:
    return ", ".join(f"{name}/" for name in names)


def _clip(root: Path, path: Path, anomaly_type: str = "") -> Clip:
    return Clip(path, path.relative_to(root).as_posix(), int(bool(anomaly_type)), anomaly_type)


def _clips(root: Path, files: Iterable[Path]) -> tuple[Clip, ...]:
    return tuple(_clip(root, path) for path in files)


def _dcase_name(path: Path) -> dict[str, str]:
    """Section and, if there is one, label in a file's name; raises if it is not a name of DCASE Task 2."""
    for form in _DCASE_NAMES:
        if match := form.fullmatch(path.stem):
            return match.groupdict()
    raise DataError(f"{path} is not named like a clip of DCASE Task 2 (2020, or 2021 and later)")


def _dcase_clips(root: Path, files: Sequence[Path], section: str | None) -> tuple[Clip, ...]:
    """The clips of a section; those without a label in their names get label 0."""
    named = [(path, _dcase_name(path)) for path in files]
    clips = [
        _clip(root, path, UNNAMED_ANOMALY if parts.get("label") == "anomaly" else "")
        for path, parts in named
        if section in (None, parts["section"])
    ]
    if not clips:
        sections = sorted({parts["section"] for _, parts in named})
        raise DataError(f"section={section} is not in {files[0].parent}; there are: {', '.join(sections)}")
    return tuple(clips)
