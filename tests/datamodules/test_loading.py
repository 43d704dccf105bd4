"""How clips become batches."""

import pytest
import torch
from lightning import seed_everything

from datamodules import PlanerDataModule


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
