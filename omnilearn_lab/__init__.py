"""Jupyter-first tutorials and analysis toolkit for the OmniLearn and OmniLearned jet foundation models.

Rooms, from the ground up: ``jets``, ``models``, ``metrics``, ``published``; ``features``, ``observables``,
``simulation``, ``readers``; ``catalog``, ``training``; ``tasks``, ``plotting``; ``widgets``, ``cli``.
Importing the package loads neither torch nor Pythia: each room is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_ROOMS = (
    "catalog",
    "config",
    "errors",
    "features",
    "jets",
    "metrics",
    "models",
    "observables",
    "plotting",
    "published",
    "readers",
    "simulation",
    "tasks",
    "training",
    "widgets",
)
_NAMES = {"Jets": "jets", "catalog_table": "catalog", "load": "catalog"}

__all__ = ["Jets", "__version__", "load", *_ROOMS]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
