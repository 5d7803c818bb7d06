"""Networks, diffusion and checkpoints; torch and nothing of files, catalogues or physics.

Names are loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import Any

_NAMES = {
    "PublishedPET": "published_padding",
    "load_checkpoint": "checkpoints",
    "load_published": "checkpoints",
    "read_card": "checkpoints",
    "save_checkpoint": "checkpoints",
    "shipped_checkpoints": "checkpoints",
    "Batch": "packing",
    "Packing": "packing",
    "PET": "pet",
    "PETConfig": "pet",
    "ClassifierOutput": "pet",
    "JointOutput": "pet",
    "cosine_level": "diffusion",
    "perturb": "diffusion",
    "DijetClassifier": "dijet",
    "DijetConfig": "dijet",
    "DijetGenerator": "dijet",
    "JetGenerator": "jet_generator",
    "JetGeneratorConfig": "jet_generator",
    "perturb_jets": "jet_generator",
    "sample_jets": "jet_generator",
    "SamplerConfig": "samplers",
    "Samples": "samplers",
    "sample": "samplers",
    "integrate": "solvers",
}

__all__ = [
    "DijetClassifier",
    "DijetConfig",
    "DijetGenerator",
    "JetGenerator",
    "JetGeneratorConfig",
    "perturb_jets",
    "sample_jets",
    "SamplerConfig",
    "Samples",
    "integrate",
    "sample",
    "PET",
    "Batch",
    "ClassifierOutput",
    "JointOutput",
    "PETConfig",
    "Packing",
    "cosine_level",
    "PublishedPET",
    "load_checkpoint",
    "load_published",
    "perturb",
    "read_card",
    "save_checkpoint",
    "shipped_checkpoints",
]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
