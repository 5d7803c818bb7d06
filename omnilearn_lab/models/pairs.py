"""Features of particle pairs, and the attention bias made from them (PET v2)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from omnilearn_lab.models.kernels import FORBIDDEN, at_least_float32
from omnilearn_lab.models.layers_v2 import MLP, in_chunks
from omnilearn_lab.models.packing import Group, Packing

__all__ = ["PairBias", "key_bias", "pair_features", "with_leads"]

N_PAIR_FEATURES = 3


def pair_features(first: Tensor, second: Tensor) -> Tensor:
    """Return ln m^2, ln dR and ln kT of particle pairs; zero where the logarithm has no argument.

    m^2 = 2 pt_a pt_b (cosh(deta) - cos(dphi)), dR^2 = deta^2 + dphi^2, kT = min(pt_a, pt_b) dR.

    The difference of cosh and cos loses digits for close particles in float32 (a few percent of ln m^2 at
    dR = 0.001, and zero below 0.0003). The published weights were trained with these values, so they are
    computed in float32 and in this order whatever the autocast mode.

    Parameters
    ----------
    first, second
        deta, dphi, ln(pt / GeV), ln(energy / GeV) of the two particles, shapes (..., 4).

    Returns
    -------
    Tensor
        Shape (..., 3), symmetric in the two particles.

    References
    ----------
    H. Qu, C. Li, S. Qian, Particle Transformer for Jet Tagging, arXiv:2202.03772, section 4.

    Examples
    --------
    >>> import torch
    >>> one, other = torch.tensor([0.0, 0.0, 0.0, 0.0]), torch.tensor([0.3, 0.4, 1.0, 1.1])
    >>> [round(value, 4) for value in pair_features(one, other).tolist()]
    [-0.3921, -0.6931, -0.6931]
    """
    deta, dphi = first[..., 0] - second[..., 0], first[..., 1] - second[..., 1]
    pt_first, pt_second = torch.exp(first[..., 2]), torch.exp(second[..., 2])
    mass_squared = 2 * pt_first * pt_second * (torch.cosh(deta) - torch.cos(dphi))
    distance_squared = deta.square() + dphi.square()
    is_apart = distance_squared > 0
    distance = torch.sqrt(torch.where(is_apart, distance_squared, 1.0))
    kt = torch.where(is_apart, torch.minimum(pt_first, pt_second) * distance, 0.0)
    return torch.stack([_log(mass_squared), 0.5 * _log(distance_squared), _log(kt)], -1)


def _log(values: Tensor) -> Tensor:
    """Logarithm of positive values, zero for the others; the gradient is finite everywhere."""
    is_positive = values > 0
    return torch.where(is_positive, torch.log(torch.where(is_positive, values, 1.0)), 0.0)


class PairBias(nn.Module):
    """Additive attention logits from an MLP on pair features, one per head; the same for all blocks.

    The features are symmetric and vanish for a particle with itself, so the MLP runs on each unordered pair
    once, and once for all diagonals.

    Parameters
    ----------
    n_hidden
        Hidden width.
    n_heads
        Heads H.
    """

    def __init__(self, n_hidden: int, n_heads: int) -> None:
        super().__init__()
        self.mlp = MLP(N_PAIR_FEATURES, n_hidden, n_heads, norms="none", exact_input=True)

    def forward(self, features: Tensor, packing: Packing) -> list[Tensor]:
        """Return a bias (G, H, m, m) for each block of ``packing``, from raw particles (T, 4)."""
        slots = packing.to_slots(at_least_float32(features))
        return [self._bias(group.take(slots), group) for group in packing.groups]

    def _bias(self, particles: Tensor, group: Group) -> Tensor:
        n_jets, length = group.shape
        row, column = torch.triu_indices(length, length, 1, device=particles.device)
        pairs = pair_features(particles[:, row], particles[:, column]).flatten(0, 1)
        pairs = torch.cat([pairs, pairs.new_zeros(1, N_PAIR_FEATURES)])
        values = in_chunks(self.mlp, pairs, recompute=True)  # its hidden layer is wide, its input narrow
        return _Symmetric.apply(at_least_float32(values), n_jets, row, column, length)


class _Symmetric(torch.autograd.Function):
    """Spread values of unordered pairs over both halves of a matrix.

    The backward pass gathers too, as each pair has two places.
    Input (G pairs + 1, H): the pairs of each jet, then the value of all diagonals. Output (G, H, m, m).
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, n_jets: int, row: Tensor, column: Tensor, length: int) -> Tensor:
        place = torch.full((length, length), len(row), device=values.device)
        place[row, column] = place[column, row] = torch.arange(len(row), device=values.device)
        pairs = values[:-1].view(n_jets, len(row), -1).transpose(1, 2)
        diagonal = values[-1][None, :, None].expand(n_jets, -1, 1)
        table = torch.cat([pairs, diagonal], 2)
        ctx.save_for_backward(row * length + column)
        return table.index_select(2, place.flatten()).view(*table.shape[:2], length, length)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (upper,) = ctx.saved_tensors
        diagonal = gradient.diagonal(dim1=2, dim2=3).sum((0, 2))
        both = (gradient + gradient.transpose(2, 3)).flatten(2)
        pairs = both.index_select(2, upper).transpose(1, 2).flatten(0, 1)
        return torch.cat([pairs, diagonal[None]]), None, None, None, None


def key_bias(mask: Tensor) -> Tensor:
    """Additive logits (G, 1, 1, m) that leave out the keys where ``mask`` (G, m) is False.

    Examples
    --------
    >>> import torch
    >>> key_bias(torch.tensor([[True, False]])).flatten().tolist()
    [0.0, -1000000000.0]
    """
    return torch.where(mask, 0.0, FORBIDDEN)[:, None, None, :]


def with_leads(bias: Tensor, n_leads: int) -> Tensor:
    """Add ``n_leads`` rows and columns of zeros in front of a bias (G, H, m, m).

    Examples
    --------
    >>> import torch
    >>> with_leads(torch.ones(1, 1, 2, 2), 1).sum((0, 1)).tolist()
    [[0.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]
    """
    return functional.pad(bias, (n_leads, 0, n_leads, 0))
