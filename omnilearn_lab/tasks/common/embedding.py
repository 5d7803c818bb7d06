"""A network's embedding of jets, computed once: many small heads can then be trained on it in seconds."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models import Batch
from omnilearn_lab.tasks.common.networks import complete_batch
from omnilearn_lab.training import Batches

_TOGETHER = 256  # jets at a time; larger batches are not faster and need more memory


@torch.no_grad()
def embed(model: nn.Module, jets: Batch) -> np.ndarray:
    """Return what enters the last layer of the classifier head: one row per jet, float32, shape (N, d).

    Parameters
    ----------
    model
        A `PET` or `PETv2` with a classifier head.
    jets : Batch

    Raises
    ------
    ConfigError
        For a network without such a head.

    Examples
    --------
    >>> from omnilearn_lab.models import PET, PETConfig
    >>> jets = Batch(torch.zeros(3, 13), torch.zeros(3, 2), torch.tensor([0, 1, 3]), torch.zeros(2, 4))
    >>> embed(PET(PETConfig.named("tiny")), jets).shape
    (2, 64)
    """
    last = _last_layer(model)
    rows: list[Tensor] = []
    hook = last.register_forward_pre_hook(lambda _, inputs: rows.append(inputs[0].float().cpu()))
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    try:
        parts = []
        for batch in Batches(complete_batch(jets, model), _TOGETHER).in_order():
            batch = batch.to(device)
            model.classify(batch)
            parts.append(rows.pop())
    finally:
        hook.remove()
        model.train(was_training)
    return torch.cat(parts).numpy()


def _last_layer(model: nn.Module) -> nn.Linear:
    head = getattr(model, "classifier", None)
    for name in ("logits", "out"):
        layer = getattr(head, name, None)
        if isinstance(layer, nn.Linear):
            return layer
    raise ConfigError(f"a {type(model).__name__} has no classifier head whose input could serve as embedding")
