"""Clips computed side by side: in order, to the same bit, and nothing left behind."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from explainers import IntegratedGradientsMap
from explainers.base import map_clips
from lightning_modules import Autoencoder


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_keep_the_order_of_the_clips_and_threads_their_number(threads):
    everyone = threading.Barrier(min(threads, 2))

    def compute(clip):
        everyone.wait(timeout=30)  # nobody goes on alone: clips really are computed side by side
        return clip.item(), torch.get_num_threads()

    values, threads_inside = zip(*map_clips(compute, torch.arange(6).split(1), at_once=6), strict=True)
    assert values == (0, 1, 2, 3, 4, 5)
    assert set(threads_inside) == {1}
    assert torch.get_num_threads() == threads
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [threads], "threads to come have as many again"


def test_an_error_in_one_clip_is_raised_and_threads_keep_their_number(threads):
    def compute(clip):
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(torch.OutOfMemoryError, match="no room"):
        map_clips(compute, torch.arange(6).split(1), at_once=6)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(("memory_budget", "most"), [(0, 1), (256, 3)])
def test_clips_at_a_time_keep_to_the_memory_budget(memory_budget, most, monkeypatch):
    given = []
    monkeypatch.setattr("explainers.base.ThreadPoolExecutor", recording(given))
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        module = Autoencoder(n_mels=16, n_frames=32, backbone={"num_heads": 4})
        IntegratedGradientsMap(module, n_steps=2, memory_budget=memory_budget).attribute(torch.rand(4, 16, 32))
    finally:
        torch.set_num_threads(before)
    assert given == [most]


def recording(given):
    """A pool that notes how many threads it is asked for."""

    class Pool(ThreadPoolExecutor):
        def __init__(self, workers, **settings):
            given.append(workers)
            super().__init__(workers, **settings)

    return Pool


def test_integrated_gradients_of_a_clip_do_not_depend_on_threads_and_neighbours(threads):
    torch.manual_seed(0)
    module = Autoencoder(n_mels=16, n_frames=32, backbone={"num_heads": 4})
    x = 10 * torch.randn(3, 16, 32, generator=torch.Generator().manual_seed(2))
    explainer = IntegratedGradientsMap(module, n_steps=4)
    together = explainer.attribute(x)
    torch.set_num_threads(1)
    alone = torch.cat([explainer.attribute(clip) for clip in x.split(1)])
    assert torch.equal(together, alone)
