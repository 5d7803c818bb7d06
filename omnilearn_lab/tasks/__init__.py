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
    "PROFILES": "results",
    "PretrainConfig": "pretraining",
    "Results": "results",
    "classification_profile": "profiles",
    "compare": "comparison",
    "execute_notebook": "notebooks",
    "predict": "classification",
    "pretrain": "pretraining",
    "results_directory": "results",
    "train_classifier": "classification",
}

__all__ = sorted(_NAMES)


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
