"""Clips of a split as tensors and batches."""

import numpy as np
import pytest
import torch
from lightning import seed_everything

from datamodules import PlanerDataModule
from datamodules.batch import SpectrogramDataset
from datamodules.cache import CacheEntry
from datamodules.layouts import Clip


def test_reference_level_becomes_zero(tmp_path):
    levels = np.array([[-20.0, -14.0, 3.0], [-14.0, 0.0, 6.0]], dtype=np.float32)
    np.save(tmp_path / "clip.npy", levels)
    clip = Clip(tmp_path / "clip.wav", "clip.wav", label=0)
    entries = [CacheEntry(tmp_path / "clip.npy", n_frames=3)]

    def spectrogram(**options):
        return SpectrogramDataset([clip], entries, n_frames=2, frames_per_second=40.0, **options)[0]["spectrogram"]

    assert torch.equal(spectrogram(), torch.tensor([[-20.0, -14.0], [-14.0, 0.0]]))
    assert torch.equal(spectrogram(reference_level=-14.0), torch.tensor([[-6.0, 0.0], [0.0, 14.0]]))
    assert spectrogram(reference_level=-14).dtype == torch.float32


def test_mean_level_is_that_of_all_cells_used(tmp_path):
    for name, level in (("a", -20.0), ("b", 4.0)):
        np.save(tmp_path / f"{name}.npy", np.array([[level, level, 99.0]], dtype=np.float32))
    clips = [Clip(tmp_path / f"{name}.wav", f"{name}.wav", label=0) for name in "ab"]
    entries = [CacheEntry(tmp_path / f"{name}.npy", n_frames=3) for name in "ab"]
    assert SpectrogramDataset(clips, entries, n_frames=2, frames_per_second=40.0).mean_level() == -8.0


def test_clips_on_a_device_are_read_once(tmp_path):
    levels = {"a": [[-14.0, 2.0, 99.0]], "b": [[0.0, 5.0, 99.0]]}
    for name, level in levels.items():
        np.save(tmp_path / f"{name}.npy", np.array(level, dtype=np.float32))
    clips = [Clip(tmp_path / f"{name}.wav", f"{name}.wav", label=0) for name in levels]
    entries = [CacheEntry(tmp_path / f"{name}.npy", n_frames=3) for name in levels]
    dataset = SpectrogramDataset(clips, entries, n_frames=2, frames_per_second=40.0, reference_level=-14.0)
    assert dataset.size_bytes == 2 * 1 * 2 * 4
    dataset.keep_on(torch.device("cpu"))
    assert torch.equal(dataset[1]["spectrogram"], torch.tensor([[14.0, 19.0]]))
    for entry in entries:
        entry.path.unlink()
    assert torch.equal(dataset[0]["spectrogram"], torch.tensor([[0.0, 16.0]]))


@pytest.mark.parametrize("split", ["train", "val"])
def test_clips_kept_on_the_device_give_the_same_batches(planer_root, tmp_path, split):
    def batches(**options):
        seed_everything(3)
        datamodule = PlanerDataModule(
            str(planer_root), cache_dir=str(tmp_path), batch_size=8, num_workers=2, pin_memory=True, **options
        )
        (loader,) = [datamodule.train_dataloader()] if split == "train" else datamodule.val_dataloader()
        return loader, list(loader)

    _, read = batches(resident=False)
    loader, kept = batches(resident=True)
    assert loader.num_workers == 0, "another process can't have them"
    assert not loader.pin_memory
    assert [batch["name"] for batch in kept] == [batch["name"] for batch in read]
    for one, other in zip(kept, read, strict=True):
        assert torch.equal(one["spectrogram"], other["spectrogram"])
        assert one["spectrogram"].device.type == "cpu"


def test_on_a_cpu_clips_stay_on_disk_unless_asked_for(planer_root, tmp_path):
    datamodule = PlanerDataModule(str(planer_root), cache_dir=str(tmp_path), num_workers=1)
    assert datamodule.train_dataloader().num_workers == 1
