"""Networks, diffusion and checkpoints; torch and nothing of files, catalogues or physics.

Names are loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import Any

_NAMES = {
    "PFN": "baselines",
    "PFNConfig": "baselines",
    "ParticleNet": "baselines",
    "ParticleNetConfig": "baselines",
    "PlainTransformer": "baselines",
    "PlainTransformerConfig": "baselines",
    "load_checkpoint": "checkpoints",
    "load_published": "checkpoints",
    "read_card": "checkpoints",
    "update_card": "checkpoints",
    "save_checkpoint": "checkpoints",
    "shipped_checkpoints": "checkpoints",
    "cosine_level": "diffusion",
    "perturb": "diffusion",
    "average_velocity": "distillation",
    "distillation_pair": "distillation",
    "DijetClassifier": "dijet",
    "DijetConfig": "dijet",
    "DijetGenerator": "dijet",
    "JetGenerator": "jet_generator",
    "JetGeneratorConfig": "jet_generator",
    "perturb_jets": "jet_generator",
    "sample_jets": "jet_generator",
    "Batch": "packing",
    "Packing": "packing",
    "ClassifierOutput": "pet",
    "JointOutput": "pet",
    "PET": "pet",
    "PETConfig": "pet",
    "PETv2": "pet_v2",
    "PETv2Config": "pet_v2",
    "FlowSampleConfig": "flow",
    "JetInputs": "flow",
    "NoiseConfig": "flow",
    "perturb_flow": "flow",
    "sample_flow": "flow",
    "PublishedPET": "published_padding",
    "SamplerConfig": "samplers",
    "Samples": "samplers",
    "sample": "samplers",
    "integrate": "solvers",
}

__all__ = [
    "PETv2",
    "PETv2Config",
    "PFN",
    "PFNConfig",
    "ParticleNet",
    "ParticleNetConfig",
    "PlainTransformer",
    "PlainTransformerConfig",
    "FlowSampleConfig",
    "JetInputs",
    "NoiseConfig",
    "perturb_flow",
    "sample_flow",
    "Batch",
    "ClassifierOutput",
    "DijetClassifier",
    "DijetConfig",
    "DijetGenerator",
    "JetGenerator",
    "JetGeneratorConfig",
    "JointOutput",
    "PET",
    "PETConfig",
    "Packing",
    "PublishedPET",
    "SamplerConfig",
    "Samples",
    "average_velocity",
    "cosine_level",
    "distillation_pair",
    "integrate",
    "load_checkpoint",
    "load_published",
    "perturb",
    "perturb_jets",
    "read_card",
    "sample",
    "sample_jets",
    "save_checkpoint",
    "shipped_checkpoints",
    "update_card",
]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
