"""Networks on jets padded to one length, as other frameworks hand them over: tensors in, tensors out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from omnilearn_lab.models.batch import Batch
from omnilearn_lab.models.packing import Group, Packing, Pairs


class PaddedClassifier(nn.Module):
    """A classifier on a fixed number of jets with a fixed number of slots; empty slots change nothing.

    Parameters
    ----------
    model
        `PET` or `PETv2` with a classifier head, in evaluation mode.
    length
        Slots N of each jet; 2 at least.
    n_jets
        Jets B of each call.

    Examples
    --------
    >>> from omnilearn_lab.models import PET, PETConfig
    >>> padded = PaddedClassifier(PET(PETConfig.named("tiny", n_classes=2)).eval(), 8)
    >>> inputs = torch.zeros(1, 8, 13), torch.zeros(1, 4), torch.ones(1, 8).bool()
    >>> [tuple(out.shape) for out in padded(*inputs)]
    [(1, 2), (1, 64)]
    """

    def __init__(self, model: nn.Module, length: int, n_jets: int = 1) -> None:
        super().__init__()
        self.model, self.length, self.n_jets = model, length, n_jets

    def forward(
        self,
        features: Tensor,
        jet: Tensor,
        mask: Tensor,
        pid: Tensor | None = None,
        extra: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return logits (B, C) and the embedding (B, d), which enters the last layer.

        Parameters
        ----------
        features
            As `Batch.features`, shape (B, N, F).
        jet
            As `Batch.jet`, shape (B, J).
        mask
            True in slots that hold a particle, shape (B, N); one at least in each jet.
        pid, extra
            As in `Batch`, shapes (B, N) and (B, N, A), where the network reads them.
        """
        rows = _filled(features, mask)
        more = {name: _filled(v, mask) for name, v in (("pid", pid), ("extra", extra)) if v is not None}
        offsets = torch.arange(0, len(rows) + 1, self.length)
        batch = _PaddedBatch(rows, rows[:, :2], offsets, jet, **more).keep(self._packing(mask))
        seen: list[Tensor] = []
        head = self.model.classifier
        last = head.logits if hasattr(head, "logits") else head.out
        hook = last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            logits = self.model.classify(batch).logits
        finally:
            hook.remove()
        return logits, seen[0]

    def _packing(self, mask: Tensor) -> Packing:
        """One block whose rows are the slots."""
        n_slots = self.n_jets * self.length
        places = torch.arange(n_slots)
        jet = torch.arange(self.n_jets).repeat_interleave(self.length)
        block = Group(0, 0, self.n_jets, self.length, False, 0)
        counts = np.full(self.n_jets, self.length)
        columns = (jet, mask.sum(1).float(), places, mask.flatten(), places)
        return _PaddedPacking(counts, *columns, None, None, (block,), one_block=True, in_slots=True)


class _PaddedBatch(Batch):
    """A batch whose shapes are known to fit: nothing is asked of values that a tracer does not have."""

    def __post_init__(self) -> None:
        pass


@dataclass(frozen=True, eq=False)
class _PaddedPacking(Packing):
    """Pairs of slots, not of particles: the same for all jets; attention leaves empty slots out."""

    @property
    def pairs(self) -> list[Pairs]:
        """All pairs of different slots of each jet."""
        (block,) = self.groups
        length, jet = block.length, torch.arange(block.n_jets)[:, None]
        n_pairs = length * (length - 1) // 2
        row, column = torch.tril_indices(length, length, -1)
        first, second = ((jet * length + slot).flatten() for slot in (row, column))
        place = torch.arange(length)
        high, low = torch.maximum(place, place[:, None]), torch.minimum(place, place[:, None])
        number = jet[:, :, None] * n_pairs + high * (high - 1) // 2 + low
        table = torch.where(high != low, number, block.n_jets * n_pairs)
        return [Pairs(first, second, ((jet * length + row) * length + column).flatten(), table)]


def _filled(values: Tensor, mask: Tensor) -> Tensor:
    """Rows of all slots, (B N, ...); empty ones repeat the first of their jet."""
    shaped = mask.view(*mask.shape, *[1] * (values.dim() - 2))
    return torch.where(shaped, values, values[:, :1]).flatten(0, 1)
