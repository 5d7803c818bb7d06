"""A small network on a fixed number of observables per jet, with the calls of a PET classifier."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models.batch import Batch



def rows_batch(rows: Tensor) -> Batch:
    """Return a table as a batch in which every jet is one particle.

    Parameters
    ----------
    rows : float Tensor, shape (B, K)
        K observables of B jets.

    Returns
    -------
    Batch
        ``features`` are the rows; trainer and batches then work on tables as they do on jets.

    Examples
    --------
    >>> batch = rows_batch(torch.zeros(3, 2))
    >>> len(batch), tuple(batch.features.shape)
    (3, (3, 2))
    """
    n = len(rows)
    return Batch(rows, rows.new_zeros(n, 2), torch.arange(n + 1), rows.new_zeros(n, 0))


class RowClassifier(nn.Module):
    """One logit per row: standardised columns, then linear layers with GELU between them.

    Parameters
    ----------
    center, scale : float Tensor, shape (K,)
        Subtracted from, and divided out of, the columns; kept with the weights.
    hidden
        Widths of the hidden layers.

    Raises
    ------
    ConfigError
        For a scale that is not positive, or a width below one.

    Examples
    --------
    >>> network = RowClassifier(torch.zeros(2), torch.ones(2), hidden=(8,))
    >>> tuple(network.classify(rows_batch(torch.zeros(5, 2))).logits.shape)
    (5, 1)
    """

    def __init__(self, center: Tensor, scale: Tensor, *, hidden: Sequence[int] = (64, 64)) -> None:
        super().__init__()
        if not bool((scale > 0).all()) or min(hidden, default=1) < 1:
            raise ConfigError(f"scales {scale.tolist()} and widths {tuple(hidden)} must be positive")
        self.register_buffer("center", center.clone().float())
        self.register_buffer("scale", scale.clone().float())
        widths = [len(center), *hidden]
        layers = [m for a, b in pairwise(widths) for m in (nn.Linear(a, b), nn.GELU())]
        self.network = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def classify(self, batch: Batch) -> ClassifierOutput:
        """Return logits, shape (B, 1), and no regressed jet features, shape (B, 0)."""
        return ClassifierOutput(self.network((batch.features - self.center) / self.scale), batch.jet)
