"""Unfolding: OmniFold on particle clouds or tables, iterative Bayesian unfolding, and the Breit frame."""

from omnilearn_lab.tasks.unfolding.breit import unfold_dis
from omnilearn_lab.tasks.unfolding.comparison import UnfoldingMethods, compare_unfoldings, distance_to_truth
from omnilearn_lab.tasks.unfolding.iterative import bayesian_unfolding
from omnilearn_lab.tasks.unfolding.omnifold import OmniFold, OmniFoldConfig, UnfoldingResult, read_weights

__all__ = [
    "OmniFold", "OmniFoldConfig", "UnfoldingMethods", "UnfoldingResult", "bayesian_unfolding",
    "compare_unfoldings", "distance_to_truth", "read_weights", "unfold_dis",
]  # fmt: skip
