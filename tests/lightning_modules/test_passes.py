"""Passes side by side: in order, in the caller's modes, and nothing left behind."""

import threading

import pytest
import torch

from lightning_modules.passes import CPU_ROWS, rows_per_pass, side_by_side

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_keep_the_order_of_the_inputs_and_threads_their_number(threads):
    everyone = threading.Barrier(min(threads, 2))

    def compute(number):
        everyone.wait(timeout=30)  # nobody goes on alone: inputs really are computed side by side
        return number, torch.get_num_threads()

    values, threads_inside = zip(*side_by_side(compute, range(6), CPU), strict=True)
    assert values == (0, 1, 2, 3, 4, 5)
    assert set(threads_inside) == {1}
    assert torch.get_num_threads() == threads
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [threads], "threads to come have as many again"


def test_an_error_in_one_pass_is_raised_and_threads_keep_their_number(threads):
    def compute(number):
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(torch.OutOfMemoryError, match="no room"):
        list(side_by_side(compute, range(6), CPU))
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(("at_once", "most"), [(1, 1), (2, 2), (9, 3), (None, 3)])
def test_no_more_inputs_at_a_time_than_there_is_memory_or_cores_for(at_once, most):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    lock, running, seen = threading.Lock(), [], []

    def compute(number):
        with lock:
            running.append(number)
            seen.append(len(running))
        threading.Event().wait(0.02)
        running.remove(number)

    try:
        list(side_by_side(compute, range(9), CPU, at_once))
    finally:
        torch.set_num_threads(before)
    assert max(seen) == most


def test_inputs_are_read_a_few_ahead(threads):
    read = []
    inputs = (read.append(number) or number for number in range(100))
    results = side_by_side(lambda number: number, inputs, CPU)
    assert next(results) == 0
    assert len(read) <= 2 * threads + 1
    assert list(results) == list(range(1, 100))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (torch.enable_grad, (True, False, False)),
        (torch.no_grad, (False, False, False)),
        (torch.inference_mode, (False, True, False)),
        (lambda: torch.autocast("cpu", torch.bfloat16), (True, False, True)),
    ],
)
def test_passes_have_the_modes_of_the_caller(threads, mode, expected):
    def modes(_):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
        return torch.is_grad_enabled(), torch.is_inference_mode_enabled(), product.dtype == torch.bfloat16

    with mode():
        assert set(side_by_side(modes, range(4), CPU)) == {expected}


def test_a_pass_on_a_cpu_has_few_rows_and_on_a_gpu_all_that_fit():
    assert [rows_per_pass(CPU, most) for most in (5, 500)] == [5, CPU_ROWS]
    assert rows_per_pass(torch.device("cuda"), 500) == 500
