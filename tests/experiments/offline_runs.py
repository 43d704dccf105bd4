"""What offline runs of W&B hold, read back from the files that `wandb sync` would upload."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import wandb
from wandb.proto import wandb_internal_pb2


@dataclass
class OfflineRun:
    """One stage of a run, as W&B recorded it.

    Attributes:
        run: Identity, group, job type and tags.
        metrics: Definition of each metric by name.
        history: What was logged, a mapping a call.
        summary: The last value of each key of the summary.
        files: Paths of the media.
        artifacts: Entries of each table's artifact: path and the local file that holds it.
    """

    run: Any
    metrics: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    artifacts: list[dict[str, Path]] = field(default_factory=list)

    @property
    def logged(self) -> set[str]:
        """Every key of the history."""
        return {key for row in self.history for key in row}


def offline_runs(folder: Path) -> list[OfflineRun]:
    """The stages that a run's folder holds, in the order in which they ran."""
    wandb.teardown()  # W&B's service writes the last records after a run has finished; as at exit, wait for it
    return [_read(path) for path in sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))]


def read_table(run: OfflineRun, key: str) -> tuple[list[str], list[dict[str, Any]], dict[str, Path]]:
    """The columns and rows of a table, and the file of each of its media."""
    (artifact,) = [entries for entries in run.artifacts if f"{key}.table.json" in entries]
    content = json.loads(artifact[f"{key}.table.json"].read_text())
    rows = [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]
    return content["columns"], rows, artifact


def _read(path: Path) -> OfflineRun:
    records = list(_records(path))
    found = OfflineRun(next(record.run for record in records if record.HasField("run")))
    for record in records:
        if record.HasField("metric"):
            found.metrics[record.metric.name or record.metric.glob_name] = record.metric
        found.history += [_items(record.history.item)] if record.HasField("history") else []
        found.summary |= _items(record.summary.update)
        found.files |= {file.path for file in record.files.files}
        if record.HasField("artifact"):
            contents = record.artifact.manifest.contents
            found.artifacts.append({entry.path: Path(entry.local_path) for entry in contents})
    return found


def _items(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def _records(path: Path) -> Iterator[Any]:
    """The records of a file: a LevelDB log of protocol buffers behind a header of seven bytes."""
    data, position, record = path.read_bytes(), 7, b""
    block, chunk_header = 32_768, struct.Struct("<IHB")
    while position + chunk_header.size <= len(data):
        if block - position % block < chunk_header.size:
            position += block - position % block
            continue
        _, length, kind = chunk_header.unpack_from(data, position)
        position += chunk_header.size
        record += data[position : position + length]
        position += length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield wandb_internal_pb2.Record.FromString(record)
            record = b""
