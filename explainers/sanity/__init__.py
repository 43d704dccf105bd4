"""Sanity checks of explainers: do their maps depend on what the model learned, and on little else?"""

from explainers.sanity.callback import SanityChecks
from explainers.sanity.perturbation import infidelity, max_sensitivity
from explainers.sanity.randomisation import parameter_randomisation, preserved, randomise, rank_correlation, stages

__all__ = [
    "SanityChecks",
    "infidelity",
    "max_sensitivity",
    "parameter_randomisation",
    "preserved",
    "randomise",
    "rank_correlation",
    "stages",
]
