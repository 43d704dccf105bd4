"""The explorer's parts as the page holds them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from experiments.report.comparison import Comparison
from experiments.report.interactive.data import explorer_data

_FOLDER = Path(__file__).parent
_SCRIPTS = ("charts.js", "explorer.js")


def explorer_html(comparison: Comparison, static: str) -> str:
    """The place of the figures and their data; empty where no group has explanations.

    Args:
        comparison: The runs.
        static: What a reader without scripts sees in their place, as HTML.
    """
    data = explorer_data(comparison)
    if not data["curves"]:
        return ""
    return (
        f'<div id="explorer"></div><noscript>{static}</noscript>'
        f'<script type="application/json" id="explorer-data">{json_for_html(data)}</script>'
    )


def explorer_script() -> str:
    """The program, to stand in one script element."""
    return "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in _SCRIPTS)


def explorer_style() -> str:
    """The style sheet."""
    return (_FOLDER / "explorer.css").read_text(encoding="utf-8")


def json_for_html(data: Any) -> str:
    r"""JSON that can't end the script element it stands in, whatever texts it holds.

    Example:
        >>> print(json_for_html({"name": "</script>"}))
        {"name":"\u003c/script\u003e"}
    """
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
