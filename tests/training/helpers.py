"""Small packed jets and models for the training tests."""

from __future__ import annotations

import torch
from omnilearn_lab.features import pet_batch
from omnilearn_lab.models import PET, Batch, PETConfig, PETv2, PETv2Config

from tests.conftest import random_jets


def packed(n_jets: int = 64, *, seed: int = 0, n_classes: int = 2) -> Batch:
    """Random jets whose label can be learned: class 1 has its features shifted."""
    batch = pet_batch(random_jets(n_jets, seed=seed, mean=8, n_classes=n_classes))
    shift = batch.label[batch.jet_index].float()[:, None]
    return batch.replace(features=batch.features + shift)


def small_model(seed: int = 0, **changes: object) -> PET:
    torch.manual_seed(seed)
    sizes = {"width": 16, "n_layers": 1, "n_heads": 2, "n_classes": 2, "n_neighbors": 3, "layer_scale": 0.1}
    return PET(PETConfig(**sizes | changes))


def small_v2(mode: str = "pretrain", seed: int = 0, **changes: object) -> PETv2:
    torch.manual_seed(seed)
    sizes = {"width": 16, "n_layers": 1, "n_heads": 2, "n_head_layers": 1, "n_classes": 4, "n_neighbors": 3}
    tracks = {"n_particle_classes": 4} if mode == "ftag" else {}
    return PETv2(PETv2Config(mode=mode, **sizes | tracks | changes))
