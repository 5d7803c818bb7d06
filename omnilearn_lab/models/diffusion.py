"""Diffusion of PET v1: cosine schedule, perturbed jets and the velocity they should predict."""

from __future__ import annotations

import math
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from omnilearn_lab.models.packing import Batch

__all__ = ["Level", "Perturbed", "cosine_angle", "cosine_level", "cosine_time", "perturb"]

LOG_SNR_MAX = 20.0  # logarithm of the signal-to-noise ratio at t = 0; minus this at t = 1


class Level(NamedTuple):
    """Signal and noise amplitudes, alpha^2 + sigma^2 = 1; same shape as the time."""

    alpha: Tensor
    sigma: Tensor


class Perturbed(NamedTuple):
    """Perturbed jets, the velocity to predict (T, n_diffused), and alpha, sigma of each jet (B,)."""

    batch: Batch
    target: Tensor
    alpha: Tensor
    sigma: Tensor


_FIRST, _LAST = (math.atan(math.exp(sign * LOG_SNR_MAX / 2)) for sign in (-1, 1))

Number = TypeVar("Number", float, Tensor)


def cosine_angle(time: Number) -> Number:
    """Angle phi = a t + b of the cosine schedule, alpha = cos(phi); b = arctan(e^-10), a + b = arctan(e^10).

    Examples
    --------
    >>> round(cosine_angle(0.5), 4)  # pi / 4
    0.7854
    """
    return _FIRST + (_LAST - _FIRST) * time


def cosine_time(angle: Number) -> Number:
    """Time of an angle of the cosine schedule: the inverse of `cosine_angle`.

    Examples
    --------
    >>> round(cosine_time(cosine_angle(0.3)), 6)
    0.3
    """
    return (angle - _FIRST) / (_LAST - _FIRST)


def cosine_level(time: Tensor) -> Level:
    """Amplitudes of the cosine schedule.

    alpha = cos(a t + b), sigma = sin(a t + b), b = arctan(e^-10), a + b = arctan(e^10); evaluated through the
    logarithm of the signal-to-noise ratio, -2 ln tan(a t + b), as the published program does: near t = 1 the
    rounding of float32 is part of its samples.

    Parameters
    ----------
    time
        Times in [0, 1], any shape.

    Returns
    -------
    Level
        alpha and sigma.

    References
    ----------
    arXiv:2404.16091; A. Nichol, P. Dhariwal, arXiv:2102.09672; T. Salimans, J. Ho, arXiv:2202.00512.

    Examples
    --------
    >>> import torch
    >>> [round(float(part), 3) for part in cosine_level(torch.tensor(0.5))]
    [0.707, 0.707]
    """
    first = cosine_angle(0.0)
    log_snr = -2.0 * torch.log(torch.tan((cosine_angle(1.0) - first) * time + first))
    return Level(torch.sqrt(torch.sigmoid(log_snr)), torch.sqrt(torch.sigmoid(-log_snr)))


def perturb(batch: Batch, time: Tensor, noise: Tensor | None = None, *, n_diffused: int = 3) -> Perturbed:
    """Mix noise into the leading features of every jet; all other features become zero.

    x~ = alpha x + sigma eps and v = alpha eps - sigma x in the first ``n_diffused`` columns. The neighbour
    search of the perturbed jet uses the perturbed coordinates.

    Parameters
    ----------
    batch
        Clean jets.
    time
        Diffusion time of each jet, shape (B,).
    noise
        Standard normal numbers, shape (T, n_diffused); None draws them.
    n_diffused
        Number of diffused columns.

    Returns
    -------
    Perturbed
        Perturbed jets and velocity target.
    """
    clean = batch.features[:, :n_diffused]
    noise = torch.randn_like(clean) if noise is None else noise
    level = cosine_level(time)
    alpha, sigma = (batch.packing.to_rows(part)[:, None] for part in level)
    features = torch.zeros_like(batch.features)
    features[:, :n_diffused] = alpha * clean + sigma * noise
    changed = batch.replace(features=features, points=features[:, :2])
    return Perturbed(changed, alpha * noise - sigma * clean, *level)
