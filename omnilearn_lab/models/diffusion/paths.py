"""From jets to noise: the cosine schedule of PET, the straight line of PET v2, the velocity along them."""

from __future__ import annotations

import math
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models.batch import Batch
from omnilearn_lab.settings import settings

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


@settings
class NoiseConfig:
    """Normal distribution of the noise, per feature: deta, dphi, ln(pt / GeV), ln(energy / GeV).

    The defaults are the published means and standard deviations, close to those of particles in jets.

    Examples
    --------
    >>> NoiseConfig().mean
    (0.0, 0.0, 1.11398, 1.43384)
    """

    mean: tuple[float, ...] = (0.0, 0.0, 1.11398, 1.43384)
    spread: tuple[float, ...] = (0.270949, 0.27426, 1.30273, 1.33559)

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.spread) or min(self.spread) <= 0:
            raise ConfigError(
                f"noise needs one positive spread per mean; found {self.mean} and {self.spread}"
            )

    def draw(self, n_particles: int, generator: torch.Generator | None = None) -> Tensor:
        """Return noise for particles, shape (T, F)."""
        return self.scale(torch.randn(n_particles, len(self.mean), generator=generator))

    def scale(self, standard: Tensor) -> Tensor:
        """Turn standard normal numbers (T, F) into noise."""
        spread, mean = (
            torch.tensor(values, dtype=standard.dtype).to(standard.device, non_blocking=True)
            for values in (self.spread, self.mean)
        )
        return standard * spread + mean


def perturb_flow(batch: Batch, time: Tensor, noise: Tensor | None = None) -> Perturbed:
    """Move every jet along the straight line to its noise.

    z = (1 - t) x + t eta and v = eta - x, with eta from `NoiseConfig`. Species, extra numbers and
    conditions stay as they are.

    Parameters
    ----------
    batch
        Clean jets, raw features.
    time
        Time of each jet in [0, 1], shape (B,).
    noise
        eta, shape (T, F); None draws it.

    Returns
    -------
    Perturbed
        Perturbed jets, velocity (T, F), alpha = 1 - t and sigma = t of each jet.

    References
    ----------
    arXiv:2510.24066; X. Liu, C. Gong, Q. Liu, arXiv:2209.03003.

    Examples
    --------
    >>> import torch
    >>> x = torch.ones(1, 4)
    >>> batch = Batch(x, x[:, :2], torch.tensor([0, 1]), torch.zeros(1, 0))
    >>> moved = perturb_flow(batch, torch.tensor([0.25]), torch.zeros(1, 4))
    >>> moved.batch.features[0, 0].item(), moved.target[0, 0].item()
    (0.75, -1.0)
    """
    clean = batch.features
    if noise is None:
        noise = NoiseConfig().scale(torch.randn_like(clean))
    share = batch.packing.to_rows(time)[:, None]
    features = (1 - share) * clean + share * noise
    changed = batch.replace(features=features, points=features[:, :2])
    return Perturbed(changed, noise - clean, 1 - time, time)
