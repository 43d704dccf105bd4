"""What tests of several folders share."""

import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

# Exact values of the authors' code, beside the repository where there are any.
GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "golden"


@dataclass(frozen=True)
class Golden:
    """Weights and what the authors' code computes with them."""

    weights: dict[str, torch.Tensor]
    reference: dict[str, np.ndarray]


@pytest.fixture(scope="session")
def golden():
    if not GOLDEN.is_dir():
        pytest.skip("the authors' exact values are not here")
    with np.load(GOLDEN / "reference.npz") as arrays:
        reference = dict(arrays)
    weights = torch.load(GOLDEN / "reference_weights.pt", weights_only=True)
    return Golden(weights, reference)


@pytest.fixture(scope="session", autouse=True)
def _one_thread_a_process():
    """Small tensors gain nothing from threads, and tests run side by side."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c():
    """A shell that starts the tests in the background has them ignore Ctrl-C, which some tests send."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    """How much is tried, and on which device."""
    parser.addoption("--mutations", type=int, default=500, help="damaged and hostile files that the loaders are given")
    parser.addoption(
        "--device", default="cuda", help="what the tests marked gpu compare with the CPU; cpu tries the tests"
    )


@pytest.fixture(scope="session")
def shared():
    """Real recordings beside the checkout, where there are any."""
    folder = Path(__file__).resolve().parents[1].parent / "shared"
    if not folder.is_dir():
        pytest.skip("the real recordings are not here")
    return folder
