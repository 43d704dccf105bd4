"""The page of a data set, each section drawn from the survey alone."""

from __future__ import annotations

from datamodules.description import Findings, Survey
from experiments.commands.describe.figures import annotation_figure, duration_figure, level_figure, spectrum_figure
from experiments.commands.describe.kinds import SOUND, media_of, medium_of
from experiments.commands.describe.problems import problem_tables
from experiments.commands.describe.tables import (
    annotations_table,
    channels_table,
    clips_table,
    folders_table,
    formats_table,
    level_tables,
)
from experiments.commands.describe.words import summarise
from experiments.report.fragments import Section, bullets, figure_html, folded, paragraph, table_html
from experiments.report.shell import frame_page
from lightning_modules.wording import counted

_SENTENCES = 20
"""Sentences that stand above the figures."""


def build_page(survey: Survey, findings: Findings) -> str:
    """The whole page, figures included."""
    sections = [
        _clips_section(survey),
        _problems_section(survey, findings),
        _level_section(survey, findings),
        _spectrum_section(survey),
        _annotation_section(survey),
    ]
    return frame_page(
        f"Data set {survey.root.resolve().name}: {counted(len(survey.clips), 'clip')}",
        bullets(summarise(survey, findings), _SENTENCES),
        [section for section in sections if section is not None],
    )


def _clips_section(survey: Survey) -> Section:
    html = table_html(clips_table(survey), heading=False)
    durations = duration_figure(survey)
    if durations is not None:
        html += figure_html(durations, "Clips by their duration; the count is logarithmic.")
    return Section("Clips", html + table_html(formats_table(survey)) + folded(folders_table(survey)))


def _problems_section(survey: Survey, findings: Findings) -> Section:
    tables = problem_tables(survey, findings)
    if not tables:
        return Section("Findings", paragraph("Nothing stands out: see the sentences above for what was looked for."))
    return Section("Findings", "".join(map(table_html, tables)))


def _level_section(survey: Survey, findings: Findings) -> Section | None:
    media = media_of(survey)
    if not media:
        return None
    parts = []
    for medium, table in zip(media, level_tables(survey, findings), strict=True):
        caption = "Each dot is a clip that is not silent, each bar the median of its kind."
        figure = level_figure(survey, medium)
        parts += [*([figure_html(figure, caption)] if figure else []), table_html(table)]
    channels = channels_table(survey)
    return Section("Levels", "".join([*parts, *([table_html(channels)] if channels else [])]))


def _spectrum_section(survey: Survey) -> Section | None:
    parts = []
    for medium, bands in _spectrum_forms(survey):
        figure = spectrum_figure(survey, medium, bands)
        if figure is None:
            continue
        what = "Level in third octaves" if medium == SOUND else f"Mean over frames of {bands} bands"
        caption = f"{what}: median over the clips of a kind, and the range that holds the middle 80 % of them."
        parts.append(figure_html(figure, caption))
    return Section("Spectra", "".join(parts)) if parts else None


def _annotation_section(survey: Survey) -> Section | None:
    table, figure = annotations_table(survey), annotation_figure(survey)
    if table is None:
        return None
    drawn = "" if figure is None else figure_html(figure, "Annotated intervals; each line is a clip.")
    return Section("Annotations", drawn + table_html(table, heading=False))


def _spectrum_forms(survey: Survey) -> list[tuple[str, int]]:
    """Media and numbers of bands whose spectra go into one figure each."""
    measured = (clip.measured for clip in survey.clips if clip.measured is not None)
    return sorted({(medium_of(one), len(one.spectrum)) for one in measured})
