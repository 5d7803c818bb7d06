"""Particle Flow Network: a function of a sum over particles.

References
----------
P. T. Komiske, E. M. Metodiev, J. Thaler, Energy flow networks: deep sets for particle jets, arXiv:1810.05165.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models.baselines.common import Baseline, NamedSizes, dense
from omnilearn_lab.models.batch import Batch



@dataclass(frozen=True)
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

    Raises
    ------
    ConfigError
        For no layers.

    Examples
    --------
    >>> PFNConfig.named("tiny").particle_widths
    (64, 64, 128)
    """

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"particle_widths": (64, 64, 128), "jet_widths": (64, 64)},
        "paper": {},
    }

    n_features: int = 13
    n_classes: int = 2
    particle_widths: tuple[int, ...] = (100, 100, 256)
    jet_widths: tuple[int, ...] = (100, 100, 100)

    def __post_init__(self) -> None:
        if not self.particle_widths or not self.jet_widths:
            raise ConfigError("a PFN needs at least one particle layer and one jet layer")


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
