"""`faithful-aad report`: tested runs in tables, figures and a page."""

from __future__ import annotations

from pathlib import Path

from lightning_modules.errors import ConfigurationError


def report(runs: list[str], output: str = "report.html", tables: str | None = None, figures: str | None = None) -> None:
    """Compare tested runs and studies in tables, figures and on one self-contained HTML page.

    Runs of a study that varies the machine are compared on each machine, and over all of them on a page of its own.

    Args:
        runs: Folders of runs that `faithful-aad test` was run on, or of studies, tested on the same clips.
        output: The HTML file to write; an older one is replaced.
        tables: Folder for each table as CSV and LaTeX; `report_tables` beside `report.html` by default.
        figures: Folder for the paper's figures as PDF; `report_figures` beside `report.html` by default.

    Raises:
        ConfigurationError: If a run is missing, unfinished or tested on other clips than the first, or a file cannot
            be written.
    """
    path = Path(output)
    if path.is_dir():
        raise ConfigurationError(f"{output} is a folder; --output has to name the HTML file to write")
    if path.suffix.lower() not in (".html", ".htm"):
        raise ConfigurationError(f"--output {output} has to end in .html: the report is an HTML page")
    folders = [_folder(name, path, option) for name, option in ((tables, "tables"), (figures, "figures"))]
    # Pandas and Matplotlib take a second, which the help and mistakes do without.
    from experiments.report.writing import Files, write_report  # noqa: PLC0415

    write_report([Path(run) for run in runs], Files(path, *folders))


def _folder(named: str | None, page: Path, option: str) -> Path:
    folder = page.with_name(f"{page.stem}_{option}") if named is None else Path(named)
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder} is a file; --{option} has to name a folder")
    return folder
