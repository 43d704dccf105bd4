"""Tables as CSV, and as LaTeX that pdflatex compiles."""

import csv
import re
import shutil
import subprocess
from dataclasses import replace

import pytest

from experiments.report.table import Cell, number_cells
from experiments.report.table_files import latex_text, to_csv, to_latex, write_tables
from experiments.report.tables import all_tables

needs_pdflatex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")

NAMES = [
    "50 %", "a_b #1", "$x$ & {y}", r"C:\~^", "[0] *", '"<a|b>"', "é Ångström ß Łódź ế", "α β Ω ὰ", "漢字 한국어 😀",
    "→ ↓ ± × ≤ − – — ‘q’ “q” … € ½ x² ﬁ", "zero\u200bwidth\u00a0\x07", "Cyrillic Ж й",
]  # fmt: skip


def compile_latex(folder, tables, options):
    """The log and the number of pages of a document with tables."""
    inputs = "".join(f"\\input{{{table.name}}}\\clearpage\n" for table in tables)
    (folder / "all.tex").write_text(
        f"\\documentclass[{options}]{{article}}\n\\usepackage{{booktabs,graphicx}}\n\\hbadness=10000\n"
        f"\\begin{{document}}\n{inputs}\\end{{document}}\n",
        encoding="ascii",
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    log = (folder / "all.log").read_text(encoding="latin-1")
    assert done.returncode == 0, log[-2000:]
    return log, int(re.search(r"Output written on all.pdf \((\d+) page", log)[1])


def test_csv_repeats_names_and_splits_numbers(small_table):
    assert to_csv(small_table).splitlines() == [
        "Explainer,Model,F1,F1 sd,p",
        "Error map,AE,0.25,0.125,",
        "Error map,MAE,0.5,,0.0001",
    ]


def test_latex_is_escaped_and_marks_the_best(small_table):
    lines = to_latex(small_table).splitlines()
    assert lines[:2] == [r"% Needs \usepackage{booktabs,graphicx}", r"\begin{table}"]
    assert r"\caption{50 \% \& more\_x.}" in lines
    note = "A note. Bold: the best mean of its group as printed, without a test."
    assert rf"\parbox{{\linewidth}}{{\footnotesize {note}}}" in lines
    assert r"\begin{tabular}{llrr}" in lines
    assert r"Error map & AE & 0.250 \ensuremath{\pm} 0.125 & -- \\" in lines
    assert r" & MAE & \textbf{0.500} & $<$0.001 \\" in lines


def test_latex_has_the_columns_of_papers_in_lines_and_spans_columns_where_wide(small_table):
    header = ("Explainer", "Model", "Frame-based faithfulness", "p")
    stacked = to_latex(replace(small_table, header=header, latex=header[:3]))
    assert r"Explainer & Model & \shortstack[r]{Frame-based \\ faithfulness} \\" in stacked
    assert "0.001" not in stacked
    assert to_latex(replace(small_table, terminal=("Explainer", "F1"))).count("lr}") == 1
    assert r"\begin{table*}" in to_latex(replace(small_table, header=("Explainer", "Model", "F1" * 20, "p")))


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("é", r"\'{e}"),
        ("α→", r"\ensuremath{\alpha}\ensuremath{\rightarrow}"),
        ("Α", "A"),
        ("x²", r"x\textsuperscript{2}"),
        ("ﬁ…", "fi..."),
        ("漢", "{[}U+6F22]"),
        ("a\tb", "a b"),
    ],
)
def test_characters_become_ascii(text, latex):
    assert latex_text(text) == latex


@needs_pdflatex
def test_pdflatex_takes_every_name(small_table, tmp_path):
    # Besides names that users may choose, every character of the alphabets and symbols that tables are likely to hold.
    blocks = [(0x20, 0x250), (0x370, 0x530), (0x1E00, 0x2000), (0x2000, 0x2070), (0x2070, 0x2300), (0x4E00, 0x4E10)]
    characters = [
        "".join(map(chr, range(start, min(start + 8, end)))) for start, end in blocks for start in range(start, end, 8)
    ]
    rows = tuple((Cell(name), Cell(name, best=True), *number_cells([0.25, 0.5])) for name in NAMES)
    named = [
        replace(small_table, title=name, note=name, header=(name, "b", "c", "d"), name=f"n{i}", groups=(rows,))
        for i, name in enumerate(NAMES)
    ]
    every = [
        replace(
            small_table,
            name=f"c{i}",
            groups=(tuple((Cell(text), Cell("–"), *number_cells([0.1, 0.2])) for text in characters[i : i + 30]),),
        )
        for i in range(0, len(characters), 30)
    ]
    write_tables([*named, *every], tmp_path)
    log, n_pages = compile_latex(tmp_path, [*named, *every], "a4paper")
    assert n_pages == len(named) + len(every)
    assert not re.findall(r"Overfull \\hbox|Missing character|Command .* invalid in math", log)


@needs_pdflatex
@pytest.mark.parametrize("options", ["twocolumn", "a4paper,11pt"])
def test_all_tables_of_a_report_fit_a_page(small_study, small_evidence, tmp_path, options):
    tables = [table for of_section in all_tables(small_study, small_evidence).values() for table in of_section]
    write_tables(tables, tmp_path)
    log, n_pages = compile_latex(tmp_path, tables, options)
    assert n_pages == len(tables)
    assert "Overfull" not in log


def test_files_of_all_tables(small_study, small_evidence, tmp_path):
    tables = [table for of_section in all_tables(small_study, small_evidence).values() for table in of_section]
    assert len({table.name for table in tables}) == len(tables)
    write_tables(tables, tmp_path)
    for table in tables:
        rows = list(csv.reader((tmp_path / f"{table.name}.csv").open(encoding="utf-8")))
        assert len({len(row) for row in rows}) == 1
        assert len(rows) == 1 + sum(map(len, table.groups))
        assert (tmp_path / f"{table.name}.tex").read_text(encoding="ascii").count("\\caption{") == 1
