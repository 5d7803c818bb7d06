"""TODO."""

from omnilearn_lab.tasks.flavour.inputs import (
    FlavourData,
    TrackInputs,
    displacement_score,
    reference_probabilities,
)
from omnilearn_lab.tasks.flavour.rejections import (
    flavour_discriminant,
    rejection_table,
    tagger_rejections,
    tagger_scores,
)
from omnilearn_lab.tasks.flavour.taggers import (
    FlavourProfile,
    FlavourResult,
    FlavourSettings,
    compare_taggers,
    make_tagger,
    train_tagger,
)

__all__ = [
    "FlavourData", "FlavourProfile", "FlavourResult", "FlavourSettings", "TrackInputs", "compare_taggers",
    "displacement_score", "flavour_discriminant", "make_tagger", "reference_probabilities", "rejection_table",
    "tagger_rejections", "tagger_scores", "train_tagger",
]  # fmt: skip
