"""The layers that are rewritten for speed compute what PyTorch's do."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from lightning_modules import SkipCAETransformer
from lightning_modules.backbones.layers import BatchNorm, Dropout, activate, add_padded_
from lightning_modules.backbones.stages import DeepestEncoderStage
from lightning_modules.modes import frozen_eval


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("shape", [(3, 4, 16, 25), (2, 2, 3, 7), (2, 16, 4, 6)])
def test_batch_norm_is_that_of_pytorch(shape, memory_format):
    torch.manual_seed(0)
    x = (5 + 10 * torch.randn(shape, dtype=torch.float64)).contiguous(memory_format=memory_format)
    grad = torch.randn_like(x)
    ours, plain = BatchNorm(shape[1]).double(), nn.BatchNorm2d(shape[1]).double()
    plain.load_state_dict(ours.state_dict())
    for mode in (True, True, False):
        results = []
        for norm in (ours, plain):
            nn.init.uniform_(norm.weight, -2, 2, generator=torch.Generator().manual_seed(1))
            inputs = (x.clone().requires_grad_(), norm.weight, norm.bias)
            y = norm.train(mode)(inputs[0])
            results.append((y.detach(), *torch.autograd.grad(y, inputs, grad)))
        torch.testing.assert_close(*results)
        torch.testing.assert_close(ours.state_dict(), plain.state_dict())


def test_batch_norm_of_many_cells_is_accurate():
    torch.manual_seed(0)
    x = (20 + 10 * torch.randn(8, 4, 80, 100)).contiguous(memory_format=torch.channels_last)
    norm = BatchNorm(4)
    norm.momentum = 1.0
    norm(x)
    torch.testing.assert_close(norm.running_var.double(), x.double().var((0, 2, 3)), rtol=2e-6, atol=0)


@pytest.mark.parametrize("shape", [(100, 1001), (3, 5, 7)])
def test_dropout_keeps_the_mean(shape):
    torch.manual_seed(0)
    dropout, x = Dropout(0.1), torch.ones(shape).requires_grad_()
    y = dropout(x)
    torch.testing.assert_close(y.unique(), torch.tensor([0, 1 / 0.9]))
    dropped = (y == 0).double().mean().item()
    assert dropped == pytest.approx(0.1, abs=5 * (0.1 * 0.9 / x.numel()) ** 0.5), "within five standard errors"
    y.sum().backward()
    torch.testing.assert_close(x.grad, y.detach())
    assert not torch.equal(dropout(x), y), "other values each time"
    torch.manual_seed(0)
    assert torch.equal(dropout(x), y), "the same values with the same seed"
    assert torch.equal(dropout.eval()(x), x)


def test_a_skip_of_fewer_channels_is_padded_with_zeros():
    torch.manual_seed(0)
    x, skipped = torch.randn(2, 5, 3, 4).double().requires_grad_(), torch.randn(2, 2, 3, 4).double().requires_grad_()
    padded = torch.cat([skipped, torch.zeros(2, 3, 3, 4)], dim=1)
    torch.testing.assert_close(add_padded_(x.clone(), skipped), x + padded)
    assert torch.autograd.gradcheck(lambda x, skipped: add_padded_(x.clone(), skipped), (x, skipped))


def test_a_hook_sees_the_output_before_the_activation():
    torch.manual_seed(0)
    layer, x, kept = nn.Conv2d(2, 3, 3), torch.randn(2, 2, 5, 5), []
    expected = F.leaky_relu(layer(x), 0.01)
    torch.testing.assert_close(activate(layer, x), expected)
    layer.register_forward_hook(lambda layer, inputs, output: kept.append(output))
    torch.testing.assert_close(activate(layer, x), expected)
    torch.testing.assert_close(kept[0], layer(x))
    assert (kept[0] < 0).any()


class Operators(TorchDispatchMode):
    """Names of the operators that run."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_a_frozen_network_takes_one_matrix_product_per_layer_for_all_clips():
    network = SkipCAETransformer(16, 32, 2)
    with frozen_eval(network), Operators() as operators:
        network(torch.randn(3, 16, 32, requires_grad=True)).sum().backward()
    assert "bmm" not in operators.names, "one product per token or clip"
    assert "addmm" in operators.names


def test_the_encoder_layer_compiles_without_gradients():
    torch.manual_seed(0)
    stage, graphs = DeepestEncoderStage((2, 4), 2).eval(), []
    x = torch.randn(2, 16, 2, 4).contiguous(memory_format=torch.channels_last)

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    with torch.no_grad():
        latent, tokens = torch.compile(stage, backend=backend)(x)
        torch.testing.assert_close((latent, tokens), stage(x))
    # The default backend assumes that this operator keeps the memory layout of its input, which it does not.
    targets = [str(node.target) for graph in graphs for node in graph.graph.nodes]
    assert targets
    assert not [target for target in targets if "_transformer_encoder_layer_fwd" in target]
