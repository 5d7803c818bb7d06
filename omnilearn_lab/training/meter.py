"""Loss terms of the updates since the last record, kept where they are until somebody asks for them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["LossMeter"]

_READ_EVERY = 32  # updates on a GPU: reading a loss waits for the device, which then runs dry


class LossMeter:
    """Add up loss terms on their device, and look for losses that are not numbers.

    On a CPU every loss is looked at; on a GPU only every 32nd update, and whenever somebody asks, so that
    the loop need not wait for the device.

    Parameters
    ----------
    sums, n_summed
        Where an earlier meter stopped.

    Examples
    --------
    >>> meter = LossMeter()
    >>> meter.add(0, {"loss": torch.tensor(2.0)}), meter.add(1, {"loss": torch.tensor(4.0)})
    (None, None)
    >>> meter.means()
    {'loss': 3.0}
    """

    def __init__(self, sums: Mapping[str, float] | None = None, n_summed: int = 0) -> None:
        self._sums: dict[str, Tensor | float] = dict(sums or {})
        self.n_summed = n_summed
        self._unread: list[tuple[int, Tensor]] = []

    @property
    def sums(self) -> dict[str, float]:
        """The sums so far; waits for the device."""
        return {name: float(value) for name, value in self._sums.items()}

    def add(self, step: int, terms: Mapping[str, Tensor]) -> int | None:
        """Add the terms of an update; return a step whose loss is not a number when one is seen."""
        for name, value in terms.items():
            self._sums[name] = value.double() + self._sums.get(name, 0.0)
        self.n_summed += 1
        self._unread.append((step, terms["loss"]))
        is_due = terms["loss"].device.type == "cpu" or len(self._unread) >= _READ_EVERY
        return self.find_bad() if is_due else None

    def find_bad(self) -> int | None:
        """Return the first step since the last look whose loss is not a number, None when all are."""
        if not self._unread:
            return None
        steps, losses = zip(*self._unread, strict=True)
        self._unread = []
        values = torch.stack(losses).tolist()
        return next((s for s, value in zip(steps, values, strict=True) if not math.isfinite(value)), None)

    def means(self) -> dict[str, float]:
        """Return the means since the last call, and start over."""
        means = {name: value / self.n_summed for name, value in self.sums.items()}
        self._sums, self.n_summed = {}, 0
        return means
