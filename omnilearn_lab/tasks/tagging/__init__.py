"""Tagging: tell the kinds of jets apart; boosted trees to compare with, and what each ingredient brings."""

from omnilearn_lab.tasks.tagging.ablation import AblationSettings, ablate
from omnilearn_lab.tasks.tagging.boosted_trees import BoostedTreesConfig, train_boosted_trees
from omnilearn_lab.tasks.tagging.jet_classes import by_class, class_table, displaced_particles, wide_axes
from omnilearn_lab.tasks.tagging.transfer import jets_saved, metric_lost

__all__ = [
    "AblationSettings", "BoostedTreesConfig", "ablate", "by_class", "class_table", "displaced_particles",
    "jets_saved", "metric_lost", "train_boosted_trees", "wide_axes",
]  # fmt: skip
