"""What the named sizes of PET v2 cost: parameters, and time per jet on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from omnilearn_lab.models import Batch, PETv2, PETv2Config
from omnilearn_lab.training import default_device, select

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["count_parameters", "network_costs"]


def count_parameters(size: str, **choices: object) -> int:
    """Return the number of parameters of a named size, without making the weights.

    Parameters
    ----------
    size
        "tiny", "small", "medium" or "large".
    **choices
        Further fields of `PETv2Config`.

    Examples
    --------
    >>> count_parameters("small", n_classes=2)
    2708917
    """
    with torch.device("meta"):
        return sum(PETv2(PETv2Config.named(size, **choices)).n_parameters.values())


def network_costs(jets: Batch, sizes: Sequence[str] = ("tiny", "small")) -> pd.DataFrame:
    """Measure training and inference of a two-class PET v2 of each size.

    Parameters
    ----------
    jets : Batch
        Some tens of jets; each is used once per measurement, and measured twice (the better counts).
    sizes
        Named sizes.

    Returns
    -------
    DataFrame
        Millions of parameters, and milliseconds per jet for one update and for inference.
    """
    import pandas as pd

    return pd.DataFrame({size: _cost(jets, size) for size in sizes}).T


def _cost(jets: Batch, size: str) -> dict[str, float]:
    model = PETv2(PETv2Config.named(size)).to(default_device())
    batch = select(jets, torch.arange(len(jets))).to(default_device()).replace(label=None)
    label = torch.zeros(len(jets), dtype=torch.int64, device=default_device())

    def infer() -> None:
        with torch.no_grad():
            model.classify(batch).logits.sum().item()

    def train() -> None:
        functional.cross_entropy(model.classify(batch).logits, label).backward()
        sum(float(p.grad.sum()) for p in model.parameters())

    milliseconds = {
        name: 1000 * _best(call) / len(jets) for name, call in (("train", train), ("infer", infer))
    }
    return {
        "parameters [M]": count_parameters(size) / 1e6,
        "training [ms per jet]": milliseconds["train"],
        "inference [ms per jet]": milliseconds["infer"],
    }


def _best(call: Callable[[], None]) -> float:
    times = []
    for _ in range(2):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)
