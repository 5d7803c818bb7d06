"""Pretraining: teach one network jets of all kinds, and see what its size and its classes bring."""

from omnilearn_lab.tasks.pretraining.card import DownstreamRecord, downstream_records, downstream_table
from omnilearn_lab.tasks.pretraining.class_study import (
    ClassStudySettings,
    choose_classes,
    join_classes,
    study_classes,
)
from omnilearn_lab.tasks.pretraining.pretraining import PretrainConfig, launch_pretraining, pretrain
from omnilearn_lab.tasks.pretraining.study import (
    count_parameters,
    network_costs,
    noised_particles,
    pretrain_sizes,
)

__all__ = [
    "ClassStudySettings", "DownstreamRecord", "PretrainConfig", "choose_classes", "count_parameters",
    "downstream_records", "downstream_table", "join_classes", "launch_pretraining", "network_costs",
    "noised_particles", "pretrain", "pretrain_sizes", "study_classes",
]  # fmt: skip
