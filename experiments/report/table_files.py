"""Tables as files: CSV for programs, LaTeX for papers."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from experiments.report.table import Cell, Table, only_columns
from lightning_modules.files import write_atomically

_COLUMN_CHARACTERS = 50
"""Characters that fit a column of a paper with two; wider tables span both."""

_ASCII = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    '"': "''",
    **{character: f"${character}$" for character in "<>"},
    # After the end of a row these begin an argument.
    **{character: f"{{{character}}}" for character in "[*"},
}

_MATH = {
    "−": "-", "±": r"\pm", "×": r"\times", "÷": r"\div", "·": r"\cdot", "°": r"^\circ", "¬": r"\neg", "√": r"\surd",
    "≤": r"\leq", "≥": r"\geq", "≠": r"\neq", "≈": r"\approx", "∞": r"\infty", "∑": r"\sum", "∂": r"\partial",
    "∈": r"\in", "←": r"\leftarrow", "↑": r"\uparrow", "→": r"\rightarrow", "↓": r"\downarrow", "⇒": r"\Rightarrow",
    "α": r"\alpha", "β": r"\beta", "γ": r"\gamma", "δ": r"\delta", "ε": r"\epsilon", "ζ": r"\zeta", "η": r"\eta",
    "θ": r"\theta", "ι": r"\iota", "κ": r"\kappa", "λ": r"\lambda", "μ": r"\mu", "ν": r"\nu", "ξ": r"\xi",
    "π": r"\pi", "ρ": r"\rho", "ς": r"\varsigma", "σ": r"\sigma", "τ": r"\tau", "υ": r"\upsilon", "φ": r"\phi",
    "χ": r"\chi", "ψ": r"\psi", "ω": r"\omega", "Γ": r"\Gamma", "Δ": r"\Delta", "Θ": r"\Theta", "Λ": r"\Lambda",
    "Ξ": r"\Xi", "Π": r"\Pi", "Σ": r"\Sigma", "Υ": r"\Upsilon", "Φ": r"\Phi", "Ψ": r"\Psi", "Ω": r"\Omega",
}  # fmt: skip

_SYMBOLS = {
    **{character: rf"\ensuremath{{{command}}}" for character, command in _MATH.items()},
    **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧο", "ABEZHIKMNOPTXo", strict=True)),  # Greek letters that LaTeX has as Latin ones
    "‐": "-", "‑": "-", "–": "--", "—": "---", "‘": "`", "’": "'", "‚": ",", "“": "``", "”": "''", "„": ",,", "⁄": "/",
    "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}", "Ø": r"\O{}",
    "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}", "§": r"\S{}", "¶": r"\P{}", "©": r"\copyright{}",
    "£": r"\pounds{}", "€": "EUR",
}  # fmt: skip

_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0323": "d", "\u0327": "c", "\u0331": "b",
}  # fmt: skip
"""Commands of combining accents."""


def write_tables(tables: Sequence[Table], folder: Path) -> None:
    """Write each table as CSV and LaTeX, each file complete or not at all."""
    for table in tables:
        write_atomically(folder / f"{table.name}.csv", to_csv(table).encode())
        write_atomically(folder / f"{table.name}.tex", to_latex(table).encode())


def to_csv(table: Table) -> str:
    """The table with numbers at full precision.

    A column that shows several numbers becomes several: "F1", "F1 sd", "F1 low" and "F1 high". Missing ones are empty.
    """
    cells_of = [[row[i] for row in table.rows] for i in range(len(table.header))]
    parts = [list(dict.fromkeys(part for cell in cells for part, _ in cell.numbers)) for cells in cells_of]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        f"{column} {part}".strip() for column, own in zip(table.header, parts, strict=True) for part in own or [""]
    )
    for row in table.rows:
        writer.writerow(value for cell, own in zip(row, parts, strict=True) for value in _values(cell, own))
    return file.getvalue()


def to_latex(table: Table) -> str:
    """The columns of a table that a paper shows, in plain ASCII, with the legend below.

    A table that is wider than the page is reduced to its width, and one that is wider than a column of a paper spans
    both columns (in a document with one column, `table*` is `table`).
    """
    shown = only_columns(table, table.latex or table.terminal or table.header)
    header = []
    for i, lines in enumerate(shown.header_lines):
        stacked = r" \\ ".join(map(latex_text, lines))
        position = "l" if i < shown.names else "r"
        header.append(stacked if len(lines) == 1 else rf"\shortstack[{position}]{{{stacked}}}")
    environment = "table*" if shown.width > _COLUMN_CHARACTERS else "table"
    bodies = ("".join(f"{' & '.join(map(_latex_cell, row))} \\\\\n" for row in group) for group in shown.shown_groups)
    legend = f"\n\\par\\smallskip\n\\parbox{{\\linewidth}}{{\\footnotesize {latex_text(shown.legend)}}}"
    return (
        "% Needs \\usepackage{booktabs,graphicx}\n"
        f"\\begin{{{environment}}}\n\\centering\n"
        f"\\caption{{{latex_text(table.title)}.}}\n\\label{{tab:{table.name}}}\n"
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%\n"
        f"\\begin{{tabular}}{{{'l' * shown.names}{'r' * (len(shown.header) - shown.names)}}}\n"
        f"\\toprule\n{' & '.join(header)} \\\\\n\\midrule\n"
        + "\\midrule\n".join(bodies)
        + f"\\bottomrule\n\\end{{tabular}}}}{legend * bool(shown.legend)}\n\\end{{{environment}}}\n"
    )


def latex_text(text: str) -> str:
    r"""Text as LaTeX in ASCII, which pdflatex takes whatever the text holds.

    Accents, Greek and common symbols become commands. Of other characters the nearest ASCII ones remain, or their code
    points in brackets where there are none.

    Example:
        >>> print(latex_text("50 % é → α 漢"))
        50 \% \'{e} \ensuremath{\rightarrow} \ensuremath{\alpha} {[}U+6F22]
    """
    return "".join(map(_latex_character, unicodedata.normalize("NFC", text)))


def _latex_character(character: str) -> str:
    if character in _SYMBOLS:
        return _SYMBOLS[character]
    if character.isascii():
        return _ASCII.get(character, character if character.isprintable() else " ")
    kind, _, plain = unicodedata.decomposition(character).rpartition("> ")
    parts = [chr(int(point, 16)) for point in plain.split()]
    if not parts:
        return latex_text(f"[U+{ord(character):04X}]")
    if not kind and parts[-1] in _ACCENTS:
        return f"\\{_ACCENTS[parts[-1]]}{{{latex_text(parts[0])}}}"
    text = "".join(map(_latex_character, parts))
    return rf"\text{kind[1:]}script{{{text}}}" if kind in ("<super", "<sub") else text


def _values(cell: Cell, parts: Sequence[str]) -> list[str]:
    if not parts:
        return [cell.text]
    numbers = dict(cell.numbers)
    return [f"{numbers[part]:.8g}" if part in numbers else "" for part in parts]


def _latex_cell(cell: Cell) -> str:
    text = latex_text(cell.text)
    return f"\\textbf{{{text}}}" if cell.best else text
