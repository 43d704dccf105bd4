"""Modes in which others run a module: they leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """Eval mode; afterwards each submodule has the mode it had."""
    modes = [(child, child.training) for child in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for child, training in modes:
            child.training = training


@contextmanager
def frozen_eval(module: nn.Module) -> Iterator[None]:
    """Eval mode, frozen parameters and gradients enabled, for gradients of the input.

    Half of a backward pass would be the parameters' own. Lightning evaluates in inference mode, in which there are no
    gradients.
    """
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    with torch.inference_mode(False), torch.enable_grad(), eval_mode(module):
        try:
            for parameter in trainable:
                parameter.requires_grad_(False)
            yield
        finally:
            for parameter in trainable:
                parameter.requires_grad_(True)
