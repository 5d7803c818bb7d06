"""Pretraining: teach one network jets of all kinds, and see what its size and its classes bring."""
# ruff: noqa: I001

from omnilearn_lab.tasks.pretraining.evidence import DownstreamRecord, downstream_records, downstream_table
from omnilearn_lab.tasks.pretraining.objectives import ObjectiveStudySettings, generation_floor
from omnilearn_lab.tasks.pretraining.objectives import pretrain_objectives, tune_classifiers, tune_generators
from omnilearn_lab.tasks.pretraining.pretraining import PretrainConfig, launch_pretraining, pretrain
from omnilearn_lab.tasks.pretraining.study import ClassStudySettings, choose_classes, count_parameters
from omnilearn_lab.tasks.pretraining.study import join_classes, network_costs, noised_particles
from omnilearn_lab.tasks.pretraining.study import pretrain_sizes, study_classes

__all__ = [
    "ClassStudySettings", "DownstreamRecord", "ObjectiveStudySettings", "PretrainConfig", "choose_classes",
    "count_parameters", "downstream_records", "downstream_table", "generation_floor", "join_classes",
    "launch_pretraining", "network_costs", "noised_particles", "pretrain", "pretrain_objectives",
    "pretrain_sizes", "study_classes", "tune_classifiers", "tune_generators",
]  # fmt: skip
