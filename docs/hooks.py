"""What the documentation takes from the code when it is built: metric tables, and the modules of the API reference."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from griffe import Extension, Object

from explainers.registry import EXPLAINERS, explainer_label, explainer_unit
from metrics.measures import MEASURES, REFERENCES

REPOSITORY = Path(__file__).resolve().parents[1]
_DIRECTIONS = {"max": "higher", "min": "lower"}
_MARKER = re.compile(r"^<!-- (measures|references|explainers|modules)(?: of (\w+))? -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace markers such as ``<!-- measures -->`` by what the code says; a hook of MkDocs."""
    return _MARKER.sub(lambda marker: "\n".join(_CONTENTS[marker[1]](marker[2])), markdown)


def _measures(_: str) -> Iterator[str]:
    yield "| key | name | better | chance level | useful if above | what it is |"
    yield "|---|---|---|---|---|---|"
    for key, measure in MEASURES.items():
        to_beat = ", ".join(REFERENCES[name].lower() for name in measure.to_beat) or "–"
        chance = "yes" if measure.has_chance else "–"
        better = _DIRECTIONS[measure.direction]
        yield f"| `{key}` | {measure.label} | {better} | {chance} | {to_beat} | {measure.description} |"


def _references(_: str) -> Iterator[str]:
    yield from (f"- `{key}`: {label}" for key, label in REFERENCES.items())


def _explainers(_: str) -> Iterator[str]:
    yield "| name | label | unit | class |"
    yield "|---|---|---|---|"
    for name, explainer in EXPLAINERS.items():
        yield f"| `{name}` | {explainer_label(name)} | {explainer_unit(name)} | `{explainer.__name__}` |"


def _modules(package: str) -> Iterator[str]:
    """Directives of mkdocstrings for all public modules of a package, each under its own heading."""
    for path in sorted((REPOSITORY / package).rglob("*.py")):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        module = ".".join(parts[:-1] if is_package else parts)
        if any(part.startswith("_") for part in module.split(".")):
            continue
        yield f"## {module}\n\n::: {module}"
        # What a package imports is documented where it is defined.
        yield "    options: {members: []}\n" if is_package else ""


_CONTENTS: dict[str, Callable[[str], Iterator[str]]] = {
    "measures": _measures,
    "references": _references,
    "explainers": _explainers,
    "modules": _modules,
}


class ExampleSections(Extension):
    """Renders the sections that docstrings here call "Example" as code; Griffe knows them as "Examples" only."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rename the sections of an object's docstring."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
