"""The papers' tasks: each takes a configuration and returns a result."""

from __future__ import annotations

import importlib
from typing import Any

_NAMES = {
    "ClassificationProfile": "profiles",
    "ClassifierData": "classification",
    "ClassifierResult": "classification",
    "ClassifierSettings": "classification",
    "CompareConfig": "comparison",
    "Comparison": "comparison",
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
    "describe_checkpoint": "classification",
    "execute_notebook": "notebooks",
    "notebook_profile": "profiles",
    "open_executor": "executors",
    "generate_like": "generation",
    "generate_like_v2": "generation",
    "predict": "classification",
    "pretrain": "pretraining",
    "results_directory": "results",
    "stand_ins": "validation",
    "train_classifier": "classification",
}

__all__ = sorted(_NAMES)


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
