"""Reweighting: a classifier's likelihood ratio as event weights, and how far they close the distance."""
# ruff: noqa: I001

from omnilearn_lab.tasks.reweighting.known_ratio import check_known_ratio, ratio_curves, tilt
from omnilearn_lab.tasks.reweighting.ratios import LINEAR, RatioConfig
from omnilearn_lab.tasks.reweighting.reweighter import Reweighter, compare_reweighting, distance_table
from omnilearn_lab.tasks.reweighting.reweighter import improved, observable_edges, ratio_arms, reweight
from omnilearn_lab.tasks.reweighting.samples import PairedSample, load_two_generators, with_acceptance

__all__ = [
    "LINEAR", "PairedSample", "RatioConfig", "Reweighter", "check_known_ratio", "compare_reweighting",
    "distance_table", "improved", "load_two_generators", "observable_edges", "ratio_arms", "ratio_curves",
    "reweight", "tilt", "with_acceptance",
]  # fmt: skip
