"""Infidelity and maximum sensitivity (Yeh et al., "On the (In)fidelity and Sensitivity of Explanations", 2019)."""

from __future__ import annotations

import torch
from captum.metrics import infidelity as captum_infidelity
from captum.metrics import sensitivity_max
from torch import Tensor

from explainers.base import Explainer, held_still, reproducible


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
        n_samples: Noisy copies a clip. Costs 2 · n_samples + 2 forward passes a clip.
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
                return captum_infidelity(
                    explainer.score,
                    perturb,
                    clip,
                    attribution,
                    n_perturb_samples=n_samples,
                    max_examples_per_batch=min(n_samples, explainer.rows_per_pass(clip)),
                    normalize=normalize,
                )

        return explainer.within_memory(clip, in_passes)

    values = []
    with held_still(explainer.module):
        for clip, attribution in zip(x.clone().split(1), attributions.clone().split(1), strict=True):
            unexplained = measure(clip, attribution, normalize=True).clamp_min(0)
            # A map of zeros leaves all of the changes unexplained.
            values.append(unexplained / measure(clip, torch.zeros_like(clip), normalize=False))
    return torch.cat(values)


def max_sensitivity(explainer: Explainer, x: Tensor, radius: float = 0.1, n_samples: int = 3, seed: int = 0) -> Tensor:
    """How much a map changes at most, relative to its own norm, when the clip changes by next to nothing.

    Clips are drawn uniformly from the cube of half side `radius` around each clip. Explainers that draw samples
    draw others for another clip, so their own randomness counts.

    Args:
        explainer: Explains the clips.
        x: Spectrograms (B, F, T), dB.
        radius: Largest change of a cell, dB.
        n_samples: Changed copies a clip. Costs n_samples + 1 explanations a clip.
        seed: Another seed, other copies; a clip's copies do not depend on its batch.

    Returns:
        Maximum sensitivity (B,), at least 0, lower is better; about √2 for maps that are noise.
    """

    def explain(clips: tuple[Tensor]) -> tuple[Tensor]:
        return (explainer.attribute(clips[0]),)

    values = []
    for clip in x.split(1):
        with reproducible(clip, seed):
            values.append(sensitivity_max(explain, clip, perturb_radius=radius, n_perturb_samples=n_samples))
    return torch.cat(values)
