"""A few explained clips, kept whole so that figures can be drawn from a run's folder."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from lightning_modules.distributed import gather_objects
from lightning_modules.files import write_arrays

if TYPE_CHECKING:  # reading examples does without Lightning
    from lightning_modules.base import StepOutputs

FOLDER = "examples"


@dataclass(frozen=True)
class Example:
    """One explained clip.

    Attributes:
        name: The clip's path relative to its data root.
        anomaly_type: Its type of anomaly, "" if it has none or it is not known.
        index: Its number in its split.
        score: Anomaly score, dB².
        spectrogram: (F, T), dB.
        reconstruction: (F, T), dB.
        annotation: (T,) bool, frames inside an annotated interval.
        attributions: Attribution map (F, T) by explainer.
        first_frame: Where in its recording the clip begins, if it is a window of one.
    """

    name: str
    anomaly_type: str
    index: int
    score: float
    spectrogram: NDArray[np.float32]
    reconstruction: NDArray[np.float32]
    annotation: NDArray[np.bool_]
    attributions: dict[str, NDArray[np.float32]]
    first_frame: int = 0

    @property
    def file_stem(self) -> str:
        """Name of the example's files, of a length that file systems take however long the clip's name is."""
        return f"{self.index:06d}_{Path(self.name).stem.encode()[:150].decode(errors='ignore')}"

    def save(self, folder: Path) -> Path:
        """Write the example to `folder`, complete or not at all, and return its path."""
        arrays = {f"map_{name}": attribution for name, attribution in self.attributions.items()}
        rest = {key: value for key, value in vars(self).items() if key != "attributions"}
        path = folder / f"{self.file_stem}.npz"
        write_arrays(path, {**rest, **arrays})
        return path

    @classmethod
    def load(cls, path: Path) -> "Example":
        """Read an example that `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            stored = {key: value if value.ndim else value.item() for key, value in arrays.items()}
        attributions = {key.removeprefix("map_"): stored.pop(key) for key in list(stored) if key.startswith("map_")}
        return cls(**stored, attributions=attributions)

    @classmethod
    def of_row(cls, outputs: "StepOutputs", batch: dict[str, Any], row: int) -> "Example":
        """Take an explained clip out of a batch and the outputs of its step."""
        return cls(
            name=batch["name"][row],
            anomaly_type=batch["anomaly_type"][row],
            index=int(batch["index"][row]),
            score=float(outputs["score"][row]),
            spectrogram=batch["spectrogram"][row].float().cpu().numpy(),
            reconstruction=outputs["reconstruction"][row].float().cpu().numpy(),
            annotation=batch["annotation"][row].cpu().numpy(),
            attributions={name: maps[row].float().cpu().numpy() for name, maps in outputs["attributions"].items()},
            first_frame=int(batch["first_frame"][row]) if "first_frame" in batch else 0,
        )


class ExampleKeeper:
    """Keeps the first few clips of each anomaly type while batches stream by.

    Args:
        per_type: Clips kept per type.
    """

    def __init__(self, per_type: int) -> None:
        self.per_type = per_type
        self._kept: dict[str, list[Example]] = defaultdict(list)

    def clear(self) -> None:
        """Forget every clip."""
        self._kept.clear()

    @staticmethod
    def delete(folder: Path) -> None:
        """Delete the examples that an earlier evaluation wrote to a run's folder."""
        for stale in (folder / FOLDER).glob("*.npz"):
            stale.unlink()

    def consider(self, outputs: "StepOutputs", batch: dict[str, Any]) -> None:
        """Keep a batch's explained clips that come before those kept so far, so that runs keep the same clips.

        Args:
            outputs: Step outputs with `score`, `reconstruction`, `attributions` and `explained`.
            batch: The batch they belong to.
        """
        for row in torch.nonzero(outputs["explained"]).flatten().tolist():
            kept, index = self._kept[batch["anomaly_type"][row]], int(batch["index"][row])
            if len(kept) == self.per_type and (not kept or index >= kept[-1].index):
                continue
            kept.append(Example.of_row(outputs, batch, row))
            kept.sort(key=lambda example: example.index)
            del kept[self.per_type :]

    def write(self, folder: Path) -> None:
        """Write to ``examples/`` in a run's folder what is also among the first clips of every other process."""
        everyone = gather_objects({kind: [example.index for example in kept] for kind, kept in self._kept.items()})
        for kind, kept in self._kept.items():
            # A sampler that pads the last batch shows one clip twice, so equal indices count once.
            first = sorted({index for other in everyone for index in other.get(kind, [])})[: self.per_type]
            for example in kept:
                if example.index in first:
                    example.save(folder / FOLDER)
