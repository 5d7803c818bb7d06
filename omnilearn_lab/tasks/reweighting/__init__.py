"""TODO."""

from omnilearn_lab.tasks.reweighting.distances import observable_edges
from omnilearn_lab.tasks.reweighting.paired_sample import PairedSample
from omnilearn_lab.tasks.reweighting.ratios import RatioConfig
from omnilearn_lab.tasks.reweighting.reweighter import Reweighter
from omnilearn_lab.tasks.reweighting.reweighting import ReweightingResult, reweight
from omnilearn_lab.tasks.reweighting.study import (
    CompareRatios,
    ReweightingComparison,
    ReweightingProfile,
    check_known_ratio,
    compare_reweighting,
    ratio_curves,
)
from omnilearn_lab.tasks.reweighting.two_generators import load_two_generators, tilt, with_acceptance

__all__ = [
    "CompareRatios", "PairedSample", "RatioConfig", "Reweighter", "ReweightingComparison",
    "ReweightingProfile", "ReweightingResult", "check_known_ratio", "compare_reweighting",
    "load_two_generators", "observable_edges", "ratio_curves", "reweight", "tilt", "with_acceptance",
]  # fmt: skip
