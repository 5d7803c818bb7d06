"""Jupyter-first tutorials and analysis toolkit for the OmniLearn and OmniLearned jet foundation models.

Rooms, from the ground up: ``errors``, ``settings``, ``machine``; ``jets``, ``models``, ``metrics``,
``published``; ``features``, ``observables``, ``simulation``, ``readers``; ``catalog``, ``training``;
``tasks``, ``plotting``; ``widgets``; ``notebook``; ``cli``.
Importing the package loads neither torch nor Pythia: each room is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_NAMES = {"Jets": "jets", "load": "catalog"} | dict.fromkeys(
    ("OmniFold", "PETClassifier", "PETGenerator", "PETRegressor", "Reweighter", "WeakSupervision"),
    "estimators",
)

__all__ = [
    "Jets", "OmniFold", "PETClassifier", "PETGenerator", "PETRegressor", "Reweighter", "WeakSupervision",
    "__version__", "catalog", "errors", "estimators", "features", "jets", "load", "machine", "metrics",
    "models", "notebook", "observables", "plotting", "published", "readers", "settings", "simulation",
    "tasks", "training", "widgets",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
