"""The simplest taggers, and what all baselines share: dense layers on a table, and on a sum over particles.

References
----------
P. T. Komiske, E. M. Metodiev, J. Thaler, Energy flow networks: deep sets for particle jets, arXiv:1810.05165.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models.batch import Batch, ClassifierOutput
from omnilearn_lab.models.sizes import NamedSizes, Width
from omnilearn_lab.settings import settings

Widths = Annotated[tuple[Width, ...], Field(min_length=1)]


class Baseline(nn.Module):
    """A classifier of packed jets; subclasses define ``logits``."""

    def logits(self, batch: Batch) -> Tensor:
        """Class logits (B, C)."""
        raise NotImplementedError

    def classify(self, batch: Batch) -> ClassifierOutput:
        """Class logits (B, C) and no jet quantities (B, 0), in float32."""
        logits = self.logits(batch).float()
        return ClassifierOutput(logits, logits.new_zeros(len(logits), 0))

    forward = classify

    @property
    def n_parameters(self) -> dict[str, int]:
        """Trainable parameters of each part."""
        return {name: sum(p.numel() for p in part.parameters()) for name, part in self.named_children()}


def dense(sizes: Sequence[int]) -> nn.Sequential:
    """Dense layers with ReLU after each, He-uniform weights, zero biases: (..., first size) to (..., last).

    References
    ----------
    K. He et al., Delving deep into rectifiers, arXiv:1502.01852.

    Examples
    --------
    >>> [layer.out_features for layer in dense([13, 100, 256])[::2]]
    [100, 256]
    """
    layers: list[nn.Module] = []
    for n_in, n_out in zip(sizes, sizes[1:], strict=False):
        layer = nn.Linear(n_in, n_out)
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers)


@settings
class PFNConfig(NamedSizes):
    """Sizes of a `PFN`; the defaults are the paper's.

    Parameters
    ----------
    n_features, n_classes
        Particle inputs F, classes C.
    particle_widths
        Layers of the function Phi of one particle; the last is the latent dimension.
    jet_widths
        Layers of the function of the sum.

    Examples
    --------
    >>> PFNConfig.named("tiny").particle_widths
    (64, 64, 128)
    """

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"particle_widths": (64, 64, 128), "jet_widths": (64, 64)},
        "paper": {},
    }

    n_features: Width = 13
    n_classes: Width = 2
    particle_widths: Widths = (100, 100, 256)
    jet_widths: Widths = (100, 100, 100)


class PFN(Baseline):
    """Deep Sets classifier: logits = F( sum_i Phi(p_i) ) over the particles i of a jet.

    Parameters
    ----------
    config
        Sizes; None for the paper's.

    References
    ----------
    arXiv:1810.05165, eq. 1.3 and section 3.3.

    Examples
    --------
    >>> import torch
    >>> batch = Batch(torch.zeros(3, 13), torch.zeros(3, 2), torch.tensor([0, 1, 3]), torch.zeros(2, 4))
    >>> PFN(PFNConfig.named("tiny", n_classes=5)).classify(batch).logits.shape
    torch.Size([2, 5])
    """

    def __init__(self, config: PFNConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or PFNConfig()
        self.particle = dense((config.n_features, *config.particle_widths))
        self.jet = dense((config.particle_widths[-1], *config.jet_widths))
        self.out = nn.Linear(config.jet_widths[-1], config.n_classes)

    def logits(self, batch: Batch) -> Tensor:
        """Class logits (B, C)."""
        latent = batch.packing.sum_rows(self.particle(batch.features).float())
        return self.out(self.jet(latent))


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
