"""TODO."""

from omnilearn_lab.tasks.unfolding.breit import breit_observables, simulate_dis
from omnilearn_lab.tasks.unfolding.dis import DISUnfolding, unfold_dis
from omnilearn_lab.tasks.unfolding.iterative import IBUConfig, IBUResult, bayesian_unfolding
from omnilearn_lab.tasks.unfolding.omnifold import OmniFold, OmniFoldConfig
from omnilearn_lab.tasks.unfolding.result import UnfoldingResult, read_weights
from omnilearn_lab.tasks.unfolding.study import (
    CompareUnfoldings,
    UnfoldingComparison,
    UnfoldingProfile,
    compare_unfoldings,
    distance_to_truth,
)

__all__ = [
    "CompareUnfoldings", "DISUnfolding", "IBUConfig", "IBUResult", "OmniFold", "OmniFoldConfig",
    "UnfoldingComparison", "UnfoldingProfile", "UnfoldingResult", "bayesian_unfolding", "breit_observables",
    "compare_unfoldings", "distance_to_truth", "read_weights", "simulate_dis", "unfold_dis",
]  # fmt: skip
