"""`faithful-aad report`: tested runs in tables, figures and a page."""

from __future__ import annotations

from pathlib import Path

from lightning_modules.errors import ConfigurationError
from lightning_modules.files import write_atomically


def report(runs: list[str], output: str = "report.html", tables: str | None = None, figures: str | None = None) -> None:
    """Compare tested runs and studies in tables, figures and on one self-contained HTML page.

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
    from experiments.report.comparison import load_comparison  # noqa: PLC0415
    from experiments.report.evidence import compute_evidence  # noqa: PLC0415
    from experiments.report.page import build_page  # noqa: PLC0415
    from experiments.report.paper_figures import write_figures  # noqa: PLC0415
    from experiments.report.table_files import write_tables  # noqa: PLC0415
    from experiments.report.tables import all_tables  # noqa: PLC0415
    from experiments.report.terminal import print_report  # noqa: PLC0415

    comparison = load_comparison([Path(run) for run in runs])
    evidence = compute_evidence(comparison)
    by_section = all_tables(comparison, evidence)
    every_table = [table for of_section in by_section.values() for table in of_section]
    page = build_page(comparison, evidence, by_section)

    print_report(comparison, evidence, every_table)
    try:
        write_tables(every_table, folders[0])
        write_figures(comparison, evidence, folders[1])
        write_atomically(path, page.encode())
    except OSError as error:
        name = error.filename or output
        raise ConfigurationError(f"{name} cannot be written ({error.strerror}); give another --output") from error
    for written in (*folders, path):
        print(written)


def _folder(named: str | None, page: Path, option: str) -> Path:
    folder = page.with_name(f"{page.stem}_{option}") if named is None else Path(named)
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder} is a file; --{option} has to name a folder")
    return folder
