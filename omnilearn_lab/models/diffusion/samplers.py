"""Generate particles with a trained network: from noise at t = 1 to jets at t = 0."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise
from typing import Annotated, Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.models.batch import Batch
from omnilearn_lab.models.diffusion.paths import NoiseConfig, cosine_angle, cosine_level, cosine_time
from omnilearn_lab.models.diffusion.solvers import SOLVERS, integrate
from omnilearn_lab.settings import settings

PUBLISHED, DDIM = "published", "ddim"
Progress = Callable[[Iterable[int]], Iterable[int]]
Velocity = Callable[[Tensor, float], Tensor]


@settings
class SamplerConfig:
    """How to sample, for PET and PET v2.

    PET v2 was published with the midpoint rule and 127 steps, ``SamplerConfig(127, "midpoint")``.

    Parameters
    ----------
    n_steps
        Steps from t = 1 to t = 0.
    method
        A solver of `omnilearn_lab.models.diffusion.solvers.SOLVERS`; for PET also ``"ddim"``, the first-order
        textbook sampler, and ``"published"``, OmniLearn's midpoint DDIM (two evaluations a step; its error is
        larger, as it divides by the signal amplitude at t = 1).
    seed
        Of the noise.
    guidance
        w of (1 + w) v(label) - w v(no label); 0 evaluates the first term only.
    batch_size
        Jets at a time; the result does not depend on it.
    show_progress
        Show a progress bar.
    noise
        Distribution at t = 1 of PET v2; that of PET is the standard normal one.
    """

    n_steps: Annotated[int, Field(gt=0)] = 32
    method: Literal["euler", "midpoint", "heun", "ralston3", "rk4", "ddim", "published"] = "ralston3"
    seed: int = 0
    guidance: float = 0.0
    batch_size: Annotated[int, Field(gt=0)] = 256
    show_progress: bool = False
    noise: NoiseConfig = NoiseConfig()

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


class JetInputs(NamedTuple):
    """What generation starts from: multiplicities (B,), and what the network is told about the jets.

    Standardised jet features (B, J) for PET; labels (B,), conditions (B, c), species (T,) and extra numbers
    (T, A) of the particles to make.
    """

    counts: Tensor
    jet: Tensor | None = None
    label: Tensor | None = None
    condition: Tensor | None = None
    pid: Tensor | None = None
    extra: Tensor | None = None


class Samples(NamedTuple):
    """Generated particles (T, n_diffused), as the network's inputs are, and offsets (B + 1,)."""

    particles: Tensor
    offsets: Tensor


class VelocityModel(Protocol):
    """What `sample` needs of a model; ``path`` is "cosine" or "straight"."""

    config: Any
    path: str

    def parameters(self) -> Iterable[Tensor]:
        """Weights, which tell the device."""
        ...

    def velocity(self, batch: Batch, time: Tensor, label: Tensor | None = None) -> Tensor:
        """Velocity (T, n_diffused)."""
        ...


@torch.no_grad()
def sample(model: VelocityModel, jets: JetInputs, *, config: SamplerConfig | None = None) -> Samples:
    """Generate the particles of jets with given multiplicities, jet features, labels or conditions.

    Parameters
    ----------
    model
        A `PET`, or a `PETv2` of mode ``"generator"`` or ``"pretrain"``, in evaluation mode.
    jets
        Multiplicities, at least one each, and what the network is told.
    config
        Steps, method, seed.

    Returns
    -------
    Samples
        Particles on the device of the model: standardised features of a PET; deta, dphi, ln(pt / GeV),
        ln(energy / GeV) of a PET v2.

    Raises
    ------
    JetsError
        If a multiplicity is below one.

    Examples
    --------
    >>> import torch
    >>> from omnilearn_lab.models import PET, PETConfig
    >>> model = PET(PETConfig(width=8, n_layers=1, n_heads=2)).eval()
    >>> wanted = JetInputs(torch.tensor([3, 1]), torch.zeros(2, 4))
    >>> sample(model, wanted, config=SamplerConfig(n_steps=2)).particles.shape
    torch.Size([4, 3])
    """
    config, counts = config or SamplerConfig(), jets.counts.cpu().numpy()
    if len(counts) == 0 or counts.min() < 1:
        raise JetsError("every generated jet needs at least one particle: raise the multiplicities to 1")
    offsets = np.concatenate([[0], counts.cumsum()])
    noise = draw_noise(model, int(offsets[-1]), config)
    parts = []
    for first in range(0, len(counts), config.batch_size):
        last = min(first + config.batch_size, len(counts))
        rows = slice(int(offsets[first]), int(offsets[last]))
        empty = _empty_batch(
            model, jets, offsets[first : last + 1] - offsets[first], (slice(first, last), rows)
        )
        start = noise[rows].to(empty.features.device, non_blocking=True)
        parts.append(
            denoise(partial(_velocity, model, empty, config.guidance), start, config, path=model.path)
        )
    return Samples(torch.cat(parts), torch.from_numpy(offsets))


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
        Gives numbers of particles and what the network is told; its particles are not looked at.
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
    config, follow = config or SamplerConfig(), PATHS[model.path]
    velocity = partial(_velocity, model, batch, config.guidance)
    noise = draw_noise(model, len(batch.features), config)
    states = [noise.to(batch.features.device, non_blocking=True)]
    for span in pairwise(i / config.n_steps for i in range(config.n_steps, -1, -1)):
        states.append(follow(velocity, states[-1], 1, method=config.method, span=span))
    return states


def denoise(velocity: Velocity, noise: Tensor, config: SamplerConfig, *, path: str = "cosine") -> Tensor:
    """Take noise at t = 1 to t = 0 with the method, steps and progress bar of ``config``.

    Parameters
    ----------
    velocity
        v(x, t).
    noise
        x at t = 1.
    config
        Settings.
    path
        A key of `PATHS`.

    Returns
    -------
    Tensor
        x at t = 0.

    Raises
    ------
    ConfigError
        For a method that the path does not have.
    """
    progress = _bar if config.show_progress else None
    if config.method in SOLVERS:
        return PATHS[path](velocity, noise, config.n_steps, method=config.method, progress=progress)
    if path != "cosine":
        raise ConfigError(
            f"'{config.method}' samples along PET's cosine path; take one of {sorted(SOLVERS)} here"
        )
    sampler = midpoint_ddim if config.method == PUBLISHED else ddim
    return sampler(velocity, noise, config.n_steps, progress=progress)


def draw_noise(model: VelocityModel, n_particles: int, config: SamplerConfig) -> Tensor:
    """Noise at t = 1 of a network's path, shape (T, n_diffused), on the CPU: the same on every device."""
    generator = torch.Generator().manual_seed(config.seed)
    if model.path == "straight":
        return config.noise.draw(n_particles, generator)
    return torch.randn(n_particles, model.config.n_diffused, generator=generator)


def _bar(steps: Iterable[int]) -> Iterable[int]:
    from tqdm.auto import tqdm

    return tqdm(steps, desc="sampling", unit="step", leave=False)


def _empty_batch(
    model: VelocityModel, jets: JetInputs, offsets: np.ndarray, which: tuple[slice, slice]
) -> Batch:
    """Some jets and their rows, without features, with what the network is told about them."""
    of_jets, of_rows = which
    told = {name: value for name, value in jets._asdict().items() if name != "counts" and value is not None}
    parts = {
        name: value[of_rows if name in ("pid", "extra") else of_jets].cpu() for name, value in told.items()
    }
    features = torch.zeros(int(offsets[-1]), model.config.n_features)
    parts.setdefault("jet", torch.zeros(len(offsets) - 1, 0))
    batch = Batch(features, features[:, :2], torch.from_numpy(offsets), **parts)
    return batch.to(next(iter(model.parameters())).device)


def _velocity(model: VelocityModel, batch: Batch, guidance: float, state: Tensor, time: float) -> Tensor:
    features = torch.zeros_like(batch.features)
    features[:, : state.shape[1]] = state
    noisy = batch.replace(features=features, points=features[:, :2])
    times = features.new_full((len(batch),), time)
    velocity = model.velocity(noisy, times, batch.label)
    if guidance == 0:
        return velocity
    return (1 + guidance) * velocity - guidance * model.velocity(noisy, times, None)


def follow_line(
    velocity: Velocity,
    noise: Tensor,
    n_steps: int,
    *,
    method: str = "midpoint",
    progress: Progress | None = None,
    span: tuple[float, float] = (1.0, 0.0),
) -> Tensor:
    """Follow dx/dt = velocity(x, t), the flow of PET v2; parameters and result as of `follow_cosine`.

    Examples
    --------
    >>> import torch
    >>> follow_line(lambda x, t: torch.ones_like(x), torch.tensor([0.3]), 4)
    tensor([-0.7000])
    """
    times = torch.linspace(*span, n_steps + 1, dtype=torch.float64).tolist()
    return integrate(velocity, noise, times, method=method, progress=progress)


def follow_cosine(
    velocity: Velocity,
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
        See `omnilearn_lab.models.diffusion.solvers.integrate`.
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
    velocity: Velocity,
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
    velocity: Velocity,
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
    return cosine_level(torch.full((), time, dtype=like.dtype, device=like.device))


PATHS: dict[str, Callable[..., Tensor]] = {"cosine": follow_cosine, "straight": follow_line}
"""How to solve the flow of a network, by its ``path``."""
