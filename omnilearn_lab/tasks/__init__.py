"""The papers' tasks: each takes a configuration and returns a result."""

from __future__ import annotations

import importlib
from typing import Any

_NAMES = {
    "by_class": "jet_classes",
    "class_table": "jet_classes",
    "displaced_particles": "jet_classes",
    "wide_axes": "jet_classes",
    "BoostedTrees": "boosted_trees",
    "BoostedTreesConfig": "boosted_trees",
    "train_boosted_trees": "boosted_trees",
    "Machine": "machine",
    "NotebookEntry": "overview",
    "NotebookMap": "overview",
    "ObservablesProfile": "overview",
    "StartProfile": "overview",
    "notebook_map": "overview",
    "recommended_training": "machine",
    "this_machine": "machine",
    "ClassificationProfile": "profiles",
    "ClassifierData": "classification",
    "ClassifierResult": "classification",
    "ClassifierSettings": "networks",
    "CompareConfig": "comparison",
    "Comparison": "comparison",
    "ComparisonRecord": "records",
    "LearningCurve": "learning_curve",
    "MemoryWatch": "memory",
    "Report": "report",
    "collect_results": "report",
    "write_report": "report",
    "DatasetConversion": "conversion",
    "MeanCheck": "validation",
    "PROFILES": "results",
    "PretrainConfig": "pretraining",
    "Results": "results",
    "StandIn": "validation",
    "StandInCheck": "validation",
    "check_stand_in": "validation",
    "check_stand_ins": "validation",
    "compare": "comparison",
    "convert_dataset": "conversion",
    "convert_files": "conversion",
    "evenly": "conversion",
    "describe_checkpoint": "networks",
    "execute_notebook": "notebooks",
    "notebook_profile": "profiles",
    "make_model": "networks",
    "network_batch": "networks",
    "network_of": "networks",
    "open_executor": "executors",
    "published_numbers": "records",
    "read_results": "records",
    "generate_like": "generation",
    "generate_like_v2": "generation",
    "predict": "classification",
    "pretrain": "pretraining",
    "results_directory": "results",
    "stand_ins": "validation",
    "train_classifier": "classification",
    "train_learning_curve": "learning_curve",
    "train_many": "trainings",
}

__all__ = sorted(_NAMES)


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
