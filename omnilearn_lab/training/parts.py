"""One update's jets in parts: what each part's sums are divided by, and which random numbers are its own.

A training draws times, noise and drops for the jets of an update, and its loss terms are means over them.
When the update is done in parts, by several processes or in micro-batches, each part divides by the sums of
the whole (`Whole`) and draws what one process would have drawn for the same jets (`PartDraws`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from omnilearn_lab.models import Batch

_SUMS = ("weight", "particle_weight", "labelled_weight")
_LIKE = {torch.rand_like: torch.rand, torch.randn_like: torch.randn}


@dataclass(frozen=True, eq=False)
class Whole:
    """Sums over all jets of an update, of which a batch may be one part.

    Loss terms are weighted means. A part divides its sums by those of the whole, so that the terms and the
    gradients of all parts (micro-batches, ranks, validation batches) simply add up to those of the whole.

    Parameters
    ----------
    weight
        Sum of the weights w of the jets; jets without weights count one each.
    particle_weight, labelled_weight
        Sum of w over all particles, and over those with a class.
    class_weight : float64 Tensor, shape (C,)
        Sum of w of each class, on the CPU; C is the largest label plus one, or more.

    Examples
    --------
    >>> import torch
    >>> x = torch.zeros(3, 4)
    >>> jets = Batch(x, x[:, :2], torch.tensor([0, 1, 3]), torch.zeros(2, 0), label=torch.tensor([0, 1]))
    >>> whole = Whole.of(jets) + Whole.of(jets)
    >>> whole.weight, whole.particle_weight, whole.class_weight.tolist()
    (4.0, 6.0, [2.0, 2.0])
    """

    weight: float
    particle_weight: float
    labelled_weight: float
    class_weight: Tensor

    @classmethod
    def of(cls, jets: Batch) -> Whole:
        """Add up a batch; on the CPU this is cheap, on a GPU it waits for the device."""
        weight = jet_weights(jets).double()
        counts = jets.counts
        labelled = 0.0
        if jets.particle_label is not None:
            rows = torch.repeat_interleave(weight, counts)
            labelled = float(rows[jets.particle_label >= 0].sum())
        by_class = weight.new_zeros(0)
        if jets.label is not None and not jets.label.is_floating_point():
            by_class = torch.bincount(jets.label, weight)
        return cls(float(weight.sum()), float(weight @ counts.double()), labelled, by_class.cpu())

    def __add__(self, other: Whole) -> Whole:
        size = max(len(self.class_weight), len(other.class_weight))
        by_class = (functional.pad(w.class_weight, (0, size - len(w.class_weight))) for w in (self, other))
        sums = (getattr(self, name) + getattr(other, name) for name in _SUMS)
        return Whole(*sums, sum(by_class))

    def to_vector(self) -> Tensor:
        """Return all sums in a row, float64, shape (3 + C,): what processes tell each other."""
        sums = torch.tensor([getattr(self, name) for name in _SUMS], dtype=torch.float64)
        return torch.cat([sums, self.class_weight.double()])

    @classmethod
    def from_vector(cls, vector: Tensor) -> Whole:
        """Undo `to_vector`."""
        return cls(*vector[: len(_SUMS)].tolist(), vector[len(_SUMS) :])

    @cached_property
    def balance(self) -> Tensor:
        """Factor of each class that gives those present the same sum of weights; mean one, float32, (C,)."""
        share = self.weight / (self.class_weight.clamp_min(1e-30) * (self.class_weight > 0).sum())
        return torch.where(self.class_weight > 0, share, 0.0).float()

    def kind_weights(self, n_jet_classes: int) -> Tensor:
        """Sum of weights of jet classes and of event classes, float32, shape (2,)."""
        kinds = self.class_weight[:n_jet_classes].sum(), self.class_weight[n_jet_classes:].sum()
        return torch.stack(kinds).float()

    def mean(self, values: Tensor, jets: Batch) -> Tensor:
        """Return sum(w x) of a part over the whole's sum(w); x has shape (B,)."""
        weighted = values if jets.weight is None else values * jets.weight
        return weighted.sum() / self.weight

    def mean_of_particles(self, values: Tensor, jets: Batch) -> Tensor:
        """Return the same mean over all particles, each with its jet's weight; x has shape (T,)."""
        weighted = values if jets.weight is None else values * jets.packing.to_rows(jets.weight)
        return weighted.sum() / self.particle_weight

    def mean_of_labelled(self, values: Tensor, jets: Batch) -> Tensor:
        """Return the same mean over the particles with a class, 0 when there is none; x has shape (T,)."""
        rows = jets.packing.to_rows(jet_weights(jets)) * (jets.particle_label >= 0)
        return (values * rows).sum() / max(self.labelled_weight, 1e-30)


def jet_weights(jets: Batch) -> Tensor:
    """Return the weights of jets, ones when they have none, float32, shape (B,).

    Examples
    --------
    >>> import torch
    >>> x = torch.zeros(3, 4)
    >>> jet_weights(Batch(x, x[:, :2], torch.tensor([0, 1, 3]), torch.zeros(2, 0)))
    tensor([1., 1.])
    """
    return torch.ones(len(jets), device=jets.features.device) if jets.weight is None else jets.weight


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
