"""Random numbers for one part of a batch that are those of the whole batch.

A training draws times, noise and drops for the jets of an update. When the update is done in parts, by
several processes or in micro-batches, each part must draw what one process would have drawn for the same
jets: all random numbers of the whole batch are drawn, and the part keeps its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["Extent", "PartDraws"]

_LIKE = {torch.rand_like: torch.rand, torch.randn_like: torch.randn}


@dataclass(frozen=True)
class Extent:
    """How many jets and particles a part of a batch holds, and how many come before it and in all.

    Parameters
    ----------
    jets, particles
        (number before this part, number in this part, number in the whole batch)
    """

    jets: tuple[int, int, int]
    particles: tuple[int, int, int]

    @classmethod
    def of(cls, sizes: Sequence[tuple[int, int]], number: int) -> Extent:
        """Return the extent of part ``number`` of parts with ``sizes`` (jets, particles).

        Examples
        --------
        >>> Extent.of([(2, 30), (2, 50)], 1)
        Extent(jets=(2, 2, 4), particles=(30, 50, 80))
        """
        jets, particles = (
            (sum(column[:number]), column[number], sum(column)) for column in zip(*sizes, strict=True)
        )
        return cls(jets, particles)


class PartDraws(TorchFunctionMode):
    """Inside, ``torch.rand`` and ``torch.randn`` (and ``*_like``) for a part draw for the whole batch.

    Meant are draws whose first size is the part's number of jets or particles, or twice that; other random
    numbers (``dropout``, for one) are drawn as ever.

    Parameters
    ----------
    extent : Extent

    Examples
    --------
    >>> whole = torch.rand(5, generator=torch.manual_seed(1))
    >>> with PartDraws(Extent(jets=(2, 3, 5), particles=(20, 30, 50))):
    ...     _ = torch.manual_seed(1)
    ...     part = torch.rand(3)
    >>> torch.equal(part, whole[2:])
    True
    """

    def __init__(self, extent: Extent) -> None:
        super().__init__()
        self.extent = extent

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Replace a draw for the part by the part's rows of a draw for the whole."""
        options = dict(kwargs or {})
        if func in _LIKE:
            like: Tensor = args[0]
            func, args = _LIKE[func], tuple(like.shape)
            options = {"device": like.device, "dtype": like.dtype} | options
        if func not in _LIKE.values() or not args:
            return func(*args, **options)
        shape = args if isinstance(args[0], int) else tuple(args[0])
        for copies, (before, own, total) in product((1, 2), (self.extent.jets, self.extent.particles)):
            if shape[:1] == (copies * own,):  # two copies: clean and noised jets pass a network together
                drawn = func(copies * total, *shape[1:], **options).unflatten(0, (copies, total))
                return drawn[:, before : before + own].flatten(0, 1)
        return func(shape, **options)
