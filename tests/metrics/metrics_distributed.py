"""Runs metrics, callbacks and a baseline detector in several processes: python metrics_distributed.py FOLDER.

A script of its own, so that processes are forked where nothing has used threads yet, and import torch once.
"""

import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy
from metrics_toy import (
    N_BANDS,
    N_FRAMES,
    ToyMaps,
    ToyModule,
    loader,
    metric_callbacks,
    toy_clips,
    toy_trainer,
    update_metrics,
)

from lightning_modules import OneClassSVM

PATIENCE = timedelta(seconds=60)  # a process that waits in vain fails instead of staying behind
# The second process has fewer clips and repeats one, as a sampler does; the third has none.
POSITIONS = ([0, 2, 4, 6, 8, 10, 1], [1, 3, 5, 7, 9, 0], [])


def metrics_of_one_process(rank, folder):
    """Save what this process's metrics say of the clips of all."""
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=len(POSITIONS), timeout=PATIENCE
    )
    metrics = update_metrics(POSITIONS[rank])
    results = {name: (metric.compute(), metric.per_clip()) for name, metric in metrics.items()}
    try:
        metrics["auroc"].update(torch.zeros(1), torch.zeros(1))
    except ValueError as error:
        results["error"] = str(error)
    torch.save(results, folder / f"{rank}.pt")
    dist.destroy_process_group()


def main(folder):
    torch.set_num_threads(1)
    torch.multiprocessing.start_processes(metrics_of_one_process, (folder,), nprocs=len(POSITIONS), start_method="fork")
    strategy = DDPStrategy(start_method="fork", timeout=PATIENCE)
    trainer = toy_trainer(folder / "test", [ToyMaps(), *metric_callbacks()], devices=2, strategy=strategy)
    trainer.test(ToyModule(), loader(toy_clips()), verbose=False)
    torch.save({name: value.item() for name, value in trainer.callback_metrics.items()}, folder / "logged.pt")
    detector, strategy = OneClassSVM(N_BANDS, N_FRAMES), DDPStrategy(start_method="fork", timeout=PATIENCE)
    toy_trainer(folder / "fit", [], devices=2, strategy=strategy).fit(detector, loader(toy_clips()))
    torch.save(detector.learned, folder / "learned.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
