"""Generate particles with a trained PET: from noise at t = 1 to jets at t = 0."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from omnilearn_lab.errors import ConfigError, JetsError, nearest
from omnilearn_lab.models.diffusion import cosine_angle, cosine_level, cosine_time
from omnilearn_lab.models.packing import Batch
from omnilearn_lab.models.solvers import SOLVERS, integrate
from omnilearn_lab.settings import settings

__all__ = [
    "DDIM",
    "PUBLISHED",
    "SamplerConfig",
    "Samples",
    "VelocityModel",
    "ddim",
    "denoise",
    "denoising_path",
    "follow_cosine",
    "midpoint_ddim",
    "sample",
]

PUBLISHED, DDIM = "published", "ddim"
Progress = Callable[[Iterable[int]], Iterable[int]]


@settings
class SamplerConfig:
    """How to sample.

    Parameters
    ----------
    n_steps
        Steps from t = 1 to t = 0.
    method
        A solver of `omnilearn_lab.models.solvers.SOLVERS`; ``"ddim"``, the first-order textbook
        sampler; or ``"published"``, OmniLearn's midpoint DDIM (two evaluations a step; its error is larger,
        as it divides by the signal amplitude at t = 1).
    seed
        Of the noise.
    guidance
        w of (1 + w) v(label) - w v(no label); 0 evaluates the first term only.
    batch_size
        Jets at a time; the result does not depend on it.
    show_progress
        Show a progress bar.
    """

    n_steps: int = 32
    method: str = "ralston3"
    seed: int = 0
    guidance: float = 0.0
    batch_size: int = 256
    show_progress: bool = False

    def __post_init__(self) -> None:
        known = (*SOLVERS, DDIM, PUBLISHED)
        if self.method not in known:
            raise ConfigError(f"sampler '{self.method}'; {nearest(self.method, known)}")
        for name in ("n_steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: at least 1")

    @property
    def n_evaluations(self) -> int:
        """Evaluations of the network for each jet; guidance needs two where there is one without.

        Examples
        --------
        >>> SamplerConfig(8).n_evaluations, SamplerConfig(300, "published").n_evaluations
        (24, 600)
        """
        a_step = {DDIM: 1, PUBLISHED: 2}.get(self.method) or SOLVERS[self.method].n_evaluations
        return self.n_steps * a_step * (2 if self.guidance else 1)


class Samples(NamedTuple):
    """Generated particles (T, n_diffused), standardised as the network's inputs, and offsets (B + 1,)."""

    particles: Tensor
    offsets: Tensor


class VelocityModel(Protocol):
    """What `sample` needs of a model."""

    config: Any

    def velocity(self, batch: Batch, time: Tensor, label: Tensor | None = None) -> Tensor:
        """Velocity (T, n_diffused)."""
        ...


@torch.no_grad()
def sample(
    model: VelocityModel,
    counts: Tensor,
    jet: Tensor,
    *,
    label: Tensor | None = None,
    config: SamplerConfig | None = None,
) -> Samples:
    """Generate the particles of jets with given multiplicities, jet features and labels.

    Parameters
    ----------
    model
        A `PET` (or anything with its ``velocity``), in evaluation mode.
    counts
        Particles of each jet, int64, shape (B,), at least one each.
    jet
        Standardised jet features, shape (B, J).
    label
        Class of each jet, shape (B,); None for no label.
    config
        Steps, method, seed.

    Returns
    -------
    Samples
        Particles on the device of ``jet``.

    Raises
    ------
    JetsError
        If a multiplicity is below one.

    Examples
    --------
    >>> import torch
    >>> from omnilearn_lab.models import PET, PETConfig
    >>> model = PET(PETConfig(width=8, n_layers=1, n_heads=2)).eval()
    >>> made = sample(model, torch.tensor([3, 1]), torch.zeros(2, 4), config=SamplerConfig(n_steps=2))
    >>> made.particles.shape
    torch.Size([4, 3])
    """
    config = config or SamplerConfig()
    if len(counts) == 0 or int(counts.min()) < 1:
        raise JetsError("every generated jet needs at least one particle: raise the multiplicities to 1")
    offsets = torch.nn.functional.pad(counts.cumsum(0), (1, 0))
    noise = _noise(model, int(offsets[-1]), config.seed)
    parts = []
    for start in range(0, len(counts), config.batch_size):
        jets = slice(start, start + config.batch_size)
        rows = noise[offsets[start] : offsets[min(jets.stop, len(counts))]].to(jet.device)
        labels = None if label is None else label[jets]
        empty = _empty_batch(model, counts[jets], jet[jets])
        parts.append(denoise(partial(_velocity, model, empty, labels, config.guidance), rows, config))
    return Samples(torch.cat(parts), offsets)


@torch.no_grad()
def denoising_path(
    model: VelocityModel, batch: Batch, *, config: SamplerConfig | None = None
) -> list[Tensor]:
    """Generate like `sample`, all jets at once, and keep the particles after every step.

    Parameters
    ----------
    model
        As for `sample`.
    batch
        Gives numbers of particles, jet features and labels; its particles are not looked at.
    config
        A Runge-Kutta method; ``batch_size`` is not used.

    Returns
    -------
    list of Tensor
        ``n_steps + 1`` states, each (T, n_diffused): noise first, generated particles last.

    Examples
    --------
    >>> import torch
    >>> from omnilearn_lab.models import PET, PETConfig
    >>> like = Batch(torch.zeros(4, 13), torch.zeros(4, 2), torch.tensor([0, 3, 4]), torch.zeros(2, 4))
    >>> model = PET(PETConfig(width=8, n_layers=1, n_heads=2)).eval()
    >>> len(denoising_path(model, like, config=SamplerConfig(2)))
    3
    """
    config = config or SamplerConfig()
    empty = _empty_batch(model, batch.counts.cpu(), batch.jet)
    velocity = partial(_velocity, model, empty, batch.label, config.guidance)
    states = [_noise(model, len(batch.features), config.seed).to(batch.jet.device)]
    for span in pairwise(i / config.n_steps for i in range(config.n_steps, -1, -1)):
        states.append(follow_cosine(velocity, states[-1], 1, method=config.method, span=span))
    return states


def denoise(velocity: Callable[[Tensor, float], Tensor], noise: Tensor, config: SamplerConfig) -> Tensor:
    """Take noise at t = 1 to t = 0 with the method, steps and progress bar of ``config``.

    Parameters
    ----------
    velocity
        v(x, t) of the cosine schedule.
    noise
        x at t = 1.
    config
        Settings.

    Returns
    -------
    Tensor
        x at t = 0.
    """
    progress = _bar if config.show_progress else None
    if config.method in (PUBLISHED, DDIM):
        sampler = midpoint_ddim if config.method == PUBLISHED else ddim
        return sampler(velocity, noise, config.n_steps, progress=progress)
    return follow_cosine(velocity, noise, config.n_steps, method=config.method, progress=progress)


def _bar(steps: Iterable[int]) -> Iterable[int]:
    from tqdm.auto import tqdm

    return tqdm(steps, desc="sampling", unit="step", leave=False)


def _noise(model: VelocityModel, n_particles: int, seed: int) -> Tensor:
    return torch.randn(n_particles, model.config.n_diffused, generator=torch.Generator().manual_seed(seed))


def _empty_batch(model: VelocityModel, counts: Tensor, jet: Tensor) -> Batch:
    offsets = torch.nn.functional.pad(counts.cpu().cumsum(0), (1, 0))
    features = torch.zeros(int(offsets[-1]), model.config.n_features)
    return Batch(features, features[:, :2], offsets, jet.cpu()).to(jet.device)


def _velocity(
    model: VelocityModel, batch: Batch, label: Tensor | None, guidance: float, state: Tensor, time: float
) -> Tensor:
    features = torch.zeros_like(batch.features)
    features[:, : state.shape[1]] = state
    noisy = batch.replace(features=features, points=features[:, :2])
    times = features.new_full((len(batch),), time)
    velocity = model.velocity(noisy, times, label)
    if guidance == 0:
        return velocity
    return (1 + guidance) * velocity - guidance * model.velocity(noisy, times, None)


def follow_cosine(
    velocity: Callable[[Tensor, float], Tensor],
    noise: Tensor,
    n_steps: int,
    *,
    method: str = "ralston3",
    progress: Progress | None = None,
    span: tuple[float, float] = (1.0, 0.0),
) -> Tensor:
    """Solve the probability-flow equation of the cosine schedule, from t = 1 to t = 0 unless told otherwise.

    With x = cos(phi) x_0 + sin(phi) eps the velocity v = cos(phi) eps - sin(phi) x_0 is dx/dphi, so the
    equation is dx/dphi = v(x, phi), and phi is linear in t.

    Parameters
    ----------
    velocity
        v(x, t) with t in [0, 1].
    noise
        x at the first time.
    n_steps
        Equal steps in t.
    method, progress
        See `omnilearn_lab.models.solvers.integrate`.
    span
        First and last time.

    Returns
    -------
    Tensor
        x at the last time.

    Examples
    --------
    A unit Gaussian stays what it is, so its velocity is zero:

    >>> import torch
    >>> follow_cosine(lambda x, t: torch.zeros_like(x), torch.tensor([0.3]), 4)
    tensor([0.3000])
    """
    start, end = (cosine_angle(time) for time in span)
    angles = [start + (end - start) * i / n_steps for i in range(n_steps + 1)]

    def by_angle(state: Tensor, angle: float) -> Tensor:
        return velocity(state, min(max(cosine_time(angle), 0.0), 1.0))

    return integrate(by_angle, noise, angles, method=method, progress=progress)


def ddim(
    velocity: Callable[[Tensor, float], Tensor],
    noise: Tensor,
    n_steps: int,
    *,
    progress: Progress | None = None,
) -> Tensor:
    """First-order deterministic sampler: x_0 and the noise as predicted, held fixed during a step.

    With both fixed a step of d in the angle of the schedule is a rotation, x <- cos(d) x + sin(d) v.

    Parameters
    ----------
    velocity
        v(x, t).
    noise
        x at t = 1.
    n_steps
        Equal steps in t, one evaluation each.
    progress
        Wraps the loop over steps.

    Returns
    -------
    Tensor
        x at t = 0.

    References
    ----------
    J. Song, C. Meng, S. Ermon, arXiv:2010.02502, eq. 12 with sigma = 0.

    Examples
    --------
    Data that are a single point need a single step:

    >>> import torch
    >>> round(ddim(lambda x, t: torch.tensor(-2.0), torch.tensor([0.0]), 1).item(), 3)
    2.0
    """
    turn = (cosine_angle(0.0) - cosine_angle(1.0)) / n_steps
    state, steps = noise, range(n_steps, 0, -1)
    for i in progress(steps) if progress else steps:
        state = math.cos(turn) * state + math.sin(turn) * velocity(state, i / n_steps)
    return state


def midpoint_ddim(
    velocity: Callable[[Tensor, float], Tensor],
    noise: Tensor,
    n_steps: int,
    *,
    progress: Progress | None = None,
) -> Tensor:
    """OmniLearn's published sampler: deterministic DDIM steps with the noise estimated at half the step.

    Two evaluations a step; the result is the last estimate of x_0, not x. It divides by alpha(1) = 4.5e-5 in
    the first step, so few steps give large errors: kept to reproduce published samples.

    Parameters
    ----------
    velocity
        v(x, t).
    noise
        x at t = 1.
    n_steps
        Equal steps in t; the publication uses 300 for jets of 150 particles.
    progress
        Wraps the loop over steps.

    Returns
    -------
    Tensor
        Estimate of x at t = 0.

    References
    ----------
    J. Song, C. Meng, S. Ermon, arXiv:2010.02502; T. Karras et al., arXiv:2206.00364; arXiv:2404.16091.
    """
    state = estimate = noise
    steps = range(n_steps, 0, -1)
    for i in progress(steps) if progress else steps:
        alpha, sigma = _level(i / n_steps, noise)
        alpha_mid, sigma_mid = _level((i - 0.5) / n_steps, noise)
        alpha_next, sigma_next = _level((i - 1) / n_steps, noise)
        slope = velocity(state, i / n_steps)
        middle = alpha_mid * (alpha * state - sigma * slope) + sigma_mid * (alpha * slope + sigma * state)
        epsilon = sigma_mid * middle + alpha_mid * velocity(middle, (i - 0.5) / n_steps)
        estimate = (state - sigma * epsilon) / alpha
        state = alpha_next * estimate + sigma_next * epsilon
    return estimate


def _level(time: float, like: Tensor) -> tuple[Tensor, Tensor]:
    """Amplitudes in the precision of the samples, as published."""
    return cosine_level(torch.tensor(time, dtype=like.dtype, device=like.device))
