"""Sanity checks of explainers: do their maps depend on what the model learned, and on little else?

Cascading parameter randomisation (Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018), infidelity and
maximum sensitivity (Yeh et al., "On the (In)fidelity and Sensitivity of Explanations", NeurIPS 2019).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import lazy_loader
import numpy as np
import scipy  # imports its parts when they are first used
import torch
from torch import Tensor, nn

from explainers.base import Explainer, reproducible
from lightning_modules.errors import ConfigurationError
from lightning_modules.modes import frozen_eval

captum = lazy_loader.load("captum")

CHECKS = {
    "randomisation": "Parameter randomisation",
    "infidelity": "Infidelity",
    "max_sensitivity": "Maximum sensitivity",
}
"""Labels of the checks below, in the order of figures."""

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def parameter_randomisation(
    module: nn.Module,
    explainers: Mapping[str, Explainer],
    x: Tensor,
    attributions: Mapping[str, Tensor],
    seed: int = 0,
) -> dict[str, dict[str, Tensor]]:
    """Compare maps of the trained module with maps of one whose stages are randomised, output first.

    The cascading test of Adebayo et al. (2018): after each stage that
    loses its weights, with those before it lost already, every clip is explained again. Maps are compared as
    they are, with their signs, because a frame curve sums them with their signs. Near 0 a method depends on the
    weights; one that stays near 1, as a method that never looks at the model does, explains something else.
    Error maps keep some correlation by nature: random weights reconstruct next to nothing, which leaves the
    squared spectrogram, and loud cells are often those with large errors.

    The module's weights and buffers are afterwards what they were, whatever happens. Costs one explanation
    per clip, explainer and stage.

    Args:
        module: The explained module.
        explainers: Explainers of that module, by name.
        x: Spectrograms (B, F, T), dB.
        attributions: The explainers' maps of x (B, F, T) for the trained module, by the same names.
        seed: Another seed, other random weights.

    Returns:
        By explainer and stage, Spearman's rank correlation (B,) of the cells of each clip's two maps, in [-1, 1];
        NaN where a map is constant.

    Raises:
        ConfigurationError: If a layer can't be initialised anew.
    """
    correlations: dict[str, dict[str, Tensor]] = {name: {} for name in explainers}
    with preserved(module):
        for position, (stage, part) in enumerate(stages(module)):
            randomise(part, seed + position)
            for name, explainer in explainers.items():
                correlations[name][stage] = rank_correlation(attributions[name], explainer.attribute(x))
    return correlations


def stages(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """The parts of a network that lose their weights one after the other, from the output to the input.

    These are the children with parameters of the first module that has several, in reverse order of definition,
    which is taken for the order of computation. Sequences and lists of modules count as their elements.

    Example:
        >>> backbone = nn.Module()
        >>> backbone.encoder, backbone.decoder = nn.Sequential(nn.Linear(4, 2), nn.ReLU()), nn.Linear(2, 4)
        >>> [name for name, part in stages(nn.ModuleDict({"backbone": backbone}))]
        ['decoder', 'encoder.0']
    """
    parts = _parts(module)
    while len(parts) == 1 and _parts(parts[0][1]):
        parts = _parts(parts[0][1])
    found = [stage for name, part in parts for stage in _elements(name, part)]
    return found[::-1] if found else [(type(module).__name__, module)]


def _parts(module: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, child) for name, child in module.named_children() if next(child.parameters(), None) is not None]


def _elements(name: str, part: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    if isinstance(part, _CONTAINERS):
        for child_name, child in _parts(part):
            yield from _elements(f"{name}.{child_name}", child)
    else:
        yield name, part


def randomise(part: nn.Module, seed: int) -> None:
    """Give a part of a network the weights it might have started with, from a seed; draws elsewhere go on as before.

    Raises:
        ConfigurationError: If a layer with weights has no `reset_parameters` of its own.
    """
    devices = {parameter.device for parameter in part.parameters() if parameter.is_cuda}
    with torch.random.fork_rng(devices=list(devices)), torch.no_grad():
        torch.manual_seed(seed)
        part.apply(_reinitialise)


def _reinitialise(layer: nn.Module) -> None:
    # Attention's own reset has a private name.
    reset = getattr(layer, "reset_parameters", None) or getattr(layer, "_reset_parameters", None)
    if reset is not None:
        reset()
    elif next(layer.parameters(recurse=False), None) is not None:
        raise ConfigurationError(
            f"{type(layer).__name__} can't be randomised: it has weights but no reset_parameters(); "
            f"add one, or set sanity.clips to 0"
        )


@contextmanager
def preserved(module: nn.Module) -> Iterator[None]:
    """Put a module's parameters and buffers back, bit for bit, however the block is left."""
    tensors = [*module.parameters(), *module.buffers()]
    saved = [tensor.detach().clone() for tensor in tensors]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(tensors, saved, strict=True):
                tensor.copy_(value)


def rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Spearman's rank correlation of two maps of each clip; ties share their average rank.

    Args:
        first: Maps (B, F, T).
        second: Maps (B, F, T).

    Returns:
        Correlations (B,), float64, on the CPU; NaN where either map is constant.

    Example:
        >>> rank_correlation(torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([[[1.0, 30.0, 20.0]]]))
        tensor([0.5000], dtype=torch.float64)
    """
    ranks = [scipy.stats.rankdata(maps.flatten(1).float().cpu().numpy(), axis=1) for maps in (first, second)]
    a, b = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    with np.errstate(invalid="ignore"):
        correlation = (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return torch.from_numpy(correlation)


def infidelity(
    explainer: Explainer,
    x: Tensor,
    attributions: Tensor,
    noise_std: float = 0.01,
    n_samples: int = 10,
    seed: int = 0,
) -> Tensor:
    """Share of the score's changes under small noise that a map does not account for.

    With noise n in each cell, independent and Gaussian, a clip's score changes by Δ = f(x) − f(x − n), for which
    the map φ accounts as n·φ. The infidelity E[(β n·φ − Δ)²], with the factor β that suits the map best, because
    maps differ in their units, is divided by E[Δ²], because loud clips change more.

    The noise has to be small for the score, which is quadratic, to change in proportion: with more than about
    0.1 dB, the error of the noise itself outweighs all that depends on where it falls. And it has both signs, so
    only a map of signed slopes can account for it: maps of magnitudes or contributions hardly differ from chance.

    Args:
        explainer: Whose scalar is explained.
        x: Spectrograms (B, F, T), dB.
        attributions: The explainer's maps of x (B, F, T).
        noise_std: Standard deviation of the noise, dB.
        n_samples: Noisy copies per clip. Costs 2 · n_samples + 2 forward passes per clip.
        seed: Another seed, other noise; a clip's noise does not depend on its batch.

    Returns:
        Infidelity (B,) in [0, 1], lower is better: 0 for the gradient of a linear score, on average
        1 − 1 / n_samples for a random map, because β is fitted; NaN where the score does not change.
    """

    def perturb(clips: Tensor) -> tuple[Tensor, Tensor]:
        noise = noise_std * torch.randn_like(clips)
        return noise, clips - noise

    def measure(clip: Tensor, attribution: Tensor, normalize: bool) -> Tensor:
        def in_passes() -> Tensor:
            with reproducible(clip, seed):
                return captum.metrics.infidelity(
                    explainer.score,
                    perturb,
                    clip,
                    attribution,
                    n_perturb_samples=n_samples,
                    max_examples_per_batch=min(n_samples, explainer.rows_per_pass(clip)),
                    normalize=normalize,
                )

        return explainer.retry_on_oom(clip, in_passes)

    values = []
    with frozen_eval(explainer.module):
        for clip, attribution in zip(x.clone().split(1), attributions.clone().split(1), strict=True):
            unexplained = measure(clip, attribution, normalize=True).clamp_min(0)
            # A map of zeros leaves all of the changes unexplained.
            values.append(unexplained / measure(clip, torch.zeros_like(clip), normalize=False))
    return torch.cat(values)


def max_sensitivity(
    explainer: Explainer,
    x: Tensor,
    attributions: Tensor,
    radius: float = 0.1,
    n_samples: int = 3,
    seed: int = 0,
) -> Tensor:
    """How much a map changes at most, relative to its own norm, when the clip changes by next to nothing.

    Clips are drawn uniformly from the cube of half side `radius` around each clip. Explainers that draw samples
    draw others for another clip, so their own randomness counts.

    Args:
        explainer: Explains the clips.
        x: Spectrograms (B, F, T), dB.
        attributions: The explainer's maps of x (B, F, T).
        radius: Largest change of a cell, dB.
        n_samples: Changed copies per clip. Costs an explanation of each.
        seed: Another seed, other copies; a clip's copies do not depend on its batch.

    Returns:
        Maximum sensitivity (B,), at least 0, lower is better; about √2 for maps that are noise. The norm of a map of
        zeros counts as 1.
    """
    changed = []
    for clip in x.split(1):
        with reproducible(clip, seed):
            # Drawn on the CPU, so that every device gets the same copies.
            changed.append(clip + torch.empty(n_samples, *clip.shape[1:]).uniform_(-radius, radius).to(clip))
    # All copies at once, which leaves the explainer more to do side by side.
    maps = explainer.attribute(torch.cat(changed)).unflatten(0, (len(x), n_samples))
    differences = (maps - attributions.unsqueeze(1)).flatten(2).norm(dim=2).amax(1)
    norms = attributions.flatten(1).norm(dim=1)
    return differences / norms.where(norms > 0, 1)
