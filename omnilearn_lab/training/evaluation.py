"""The loss over all jets of a set, with the same noise every time; seeds and devices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from omnilearn_lab.models import Batch
from omnilearn_lab.training.batches import Batches
from omnilearn_lab.training.distributed import Shard, add_over_ranks
from omnilearn_lab.training.losses import Objective, part_terms
from omnilearn_lab.training.whole import Whole

__all__ = ["default_device", "evaluate", "seeded"]

_VALIDATION_SEED = 20_240_416


@torch.no_grad()
def evaluate(
    model: nn.Module, objective: Objective, batches: Batches, *, shard: Shard | None = None
) -> dict[str, float]:
    """Return the loss terms over all jets, with the same noise every time.

    Parameters
    ----------
    model
    objective
    batches : Batches
    shard : Shard, optional
        Ranks take batches in turn, and all get the result.

    Returns
    -------
    dict of str to float
        Means over jets, weighted when the jets have weights.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    whole = Whole.of(batches.jets)
    terms: dict[str, Tensor] = {}
    for number, batch, share in _in_turn(batches, shard or Shard()):
        with seeded(_VALIDATION_SEED, number, device):
            part = part_terms(objective, model, batch.to(device), whole)
        terms = {name: terms.get(name, 0.0) + share * value.double() for name, value in part.items()}
    model.train(was_training)
    total = terms if shard is None else add_over_ranks(terms)
    return {name: float(value) for name, value in total.items()}


def _in_turn(batches: Batches, shard: Shard) -> Iterator[tuple[int, Batch, float]]:
    """Yield this rank's batches; ranks that have one less end with one that counts nothing.

    All ranks then do the same number of steps, which shared-out weights need.
    """
    for number, batch in enumerate(batches.in_order()):
        if number % shard.n_ranks == shard.rank:
            yield number, batch, 1.0
    if (number + 1) % shard.n_ranks and shard.rank > number % shard.n_ranks:
        yield number, batch, 0.0


@contextmanager
def seeded(seed: int, step: int, device: torch.device) -> Iterator[None]:
    """Draw everything inside from (seed, step), and leave the global generators as they were.

    Examples
    --------
    >>> with seeded(1, 2, torch.device("cpu")):
    ...     first = torch.rand(3)
    >>> with seeded(1, 2, torch.device("cpu")):
    ...     torch.equal(first, torch.rand(3))
    True
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed((seed * 1_000_003 + step) % 2**63)
        yield


def default_device() -> torch.device:
    """Return the GPU when there is one that works, else the CPU.

    Examples
    --------
    >>> default_device().type in ("cpu", "cuda")
    True
    """
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
