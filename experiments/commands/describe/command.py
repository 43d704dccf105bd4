"""`faithful-aad data describe`: what a data set contains and what is wrong with it, printed, as a page and as CSV."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from datamodules.description import Findings, LayoutName, Survey, find, survey
from datamodules.errors import DataError
from experiments.commands import describe as page
from experiments.commands.describe.clips import SOUND, clips_csv, media_of, medium_of
from experiments.commands.describe.findings import Finding, list_findings
from experiments.commands.describe.tables import (
    annotations_table,
    channels_table,
    clips_table,
    folders_table,
    formats_table,
    level_tables,
)
from experiments.report.html import Folded, Untitled, image, render_page
from experiments.report.table import print_table
from lightning_modules.files import write_atomically
from lightning_modules.wording import counted

_SENTENCES = 20
"""Findings on top of the page; further ones are folded."""


def describe(
    folder: str,
    layout: LayoutName | None = None,
    annotations: str | None = None,
    output: str = "data.html",
    workers: int | None = None,
    channel: int | Literal["mix"] = "mix",
) -> None:
    """Describe a data set in the terminal and on one self-contained HTML page, with a CSV of all clips next to it.

    Args:
        folder: Folder of the data set; of DCASE and MIMII the folder of all machines, or of one.
        layout: How the clips are arranged: planer, dcase, mimii or folder; detected by default.
        annotations: CSV of annotated intervals; `annotations.csv` in the folder by default, if there.
        output: The HTML file to write; an existing file and the CSV next to it are replaced.
        workers: Clips read at a time, one per core by default.
        channel: Channel of the recordings used in training: its index from 0, or mix, the mean of all channels.

    Raises:
        DataError: If the folder has none of the layouts, or a file cannot be written.
    """
    page = Path(output)
    if page.is_dir():
        raise DataError(f"{output} is a folder; --output has to name the HTML file to write")
    if annotations is not None and not Path(annotations).is_file():
        raise DataError(f"--annotations {annotations} is not a file; name a CSV file of annotations")
    surveyed = survey(Path(folder), layout, None if annotations is None else Path(annotations), workers, channel)
    found = find(surveyed)
    findings = list_findings(surveyed, found)
    _print(surveyed, found, findings)
    rows = page.with_suffix(".csv")
    try:
        write_atomically(rows, _csv(surveyed, found, findings).encode())
        write_atomically(page, _page(surveyed, found, findings).encode())
    except OSError as error:
        raise DataError(
            f"{error.filename or output} cannot be written ({error.strerror}); give another --output"
        ) from error
    for written in (rows, page):
        print(written)


def _print(survey: Survey, found: Findings, findings: Sequence[Finding]) -> None:
    console = Console(highlight=False)
    tables = [clips_table(survey), formats_table(survey), *level_tables(survey, found), channels_table(survey)]
    for table in [*tables, *(finding.table for finding in findings), annotations_table(survey)]:
        if table is not None:
            print_table(console, table)
    for finding in findings:
        console.print(f"\n{finding.text}", markup=False)


def _csv(survey: Survey, found: Findings, findings: Sequence[Finding]) -> str:
    same_samples = {
        clip.clip.name: next(other.clip.name for other in group.clips if other is not clip)
        for group in found.duplicates
        for clip in group.clips
    }
    flags: dict[str, list[str]] = defaultdict(list)
    for finding in sorted(findings, key=lambda finding: finding.flag):
        for clip in finding.clips:
            flags[clip.clip.name].append(finding.flag)
    return clips_csv(survey, same_samples, flags)


def _page(survey: Survey, found: Findings, findings: Sequence[Finding]) -> str:
    nothing = "No problem was found; the sentences above list what was checked."
    annotations = annotations_table(survey)
    return render_page(
        f"{survey.root.resolve().name}: data set of {counted(len(survey.clips), 'clip')}",
        findings,
        _SENTENCES,
        {
            "Clips": [
                Untitled(clips_table(survey)),
                *_images(page.figures.duration_figure(survey), "Clips by duration; the count is logarithmic."),
                formats_table(survey),
                Folded("Clips by folder", folders_table(survey)),
            ],
            "Findings": [finding.table for finding in findings if finding.table] or [nothing],
            "Levels": _levels(survey, found),
            "Spectra": _spectra(survey),
            "Annotations": [
                *_images(page.figures.annotation_figure(survey), "Annotated intervals; each line is a clip."),
                *([Untitled(annotations)] if annotations else []),
            ],
        },
    )


def _levels(survey: Survey, found: Findings) -> list[Any]:
    parts: list[Any] = []
    for medium, table in zip(media_of(survey), level_tables(survey, found), strict=True):
        caption = "Dots: clips, without silent ones. Bars: median of the clips of each type."
        parts += [*_images(page.figures.level_figure(survey, medium), caption), table]
    channels = channels_table(survey)
    return [*parts, channels] if channels else parts


def _spectra(survey: Survey) -> list[Any]:
    """One figure per medium and number of bands, since only those of equal bands are comparable."""
    measured = (clip.measured for clip in survey.clips if clip.measured is not None)
    parts = []
    for medium, bands in sorted({(medium_of(one), len(one.spectrum)) for one in measured}):
        what = "Level in third octaves" if medium == SOUND else f"Mean over frames of {bands} bands"
        caption = f"{what}: median over the clips of a kind, and the range of the middle 80 % of them."
        parts += _images(page.figures.spectrum_figure(survey, medium, bands), caption)
    return parts


def _images(figure: Any, caption: str) -> list[Any]:
    return [] if figure is None else [image(figure, caption)]
