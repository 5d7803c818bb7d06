"""Flavour tagging: which quark made a jet, read from tracks that miss the collision point."""

from omnilearn_lab.tasks.flavour.baselines import train_displacement_trees, train_frozen_tagger
from omnilearn_lab.tasks.flavour.inputs import TrackInputs, displacement_score, reference_probabilities
from omnilearn_lab.tasks.flavour.rejections import flavour_discriminant, tagger_scores, tagger_values
from omnilearn_lab.tasks.flavour.taggers import FlavourSettings, TaggerResult, compare_taggers, train_tagger

__all__ = [
    "FlavourSettings", "TaggerResult", "TrackInputs", "compare_taggers", "displacement_score",
    "flavour_discriminant", "reference_probabilities", "tagger_scores", "tagger_values",
    "train_displacement_trees", "train_frozen_tagger", "train_tagger",
]  # fmt: skip
