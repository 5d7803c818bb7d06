"""Flavour tagging: which quark made a jet, read from tracks that miss the collision point."""

from omnilearn_lab.tasks.flavour.baselines import train_displacement_trees, train_frozen_tagger
from omnilearn_lab.tasks.flavour.inputs import TrackInputs, displacement_score, reference_probabilities
from omnilearn_lab.tasks.flavour.rejections import tagger_scores
from omnilearn_lab.tasks.flavour.taggers import FlavourSettings, compare_taggers

__all__ = [
    "FlavourSettings", "TrackInputs", "compare_taggers", "displacement_score", "reference_probabilities",
    "tagger_scores", "train_displacement_trees", "train_frozen_tagger",
]  # fmt: skip
