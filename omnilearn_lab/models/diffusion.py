"""From jets to noise and back: paths, their velocities, solvers, samplers, losses and distillation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import pairwise
from typing import Annotated, Any, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from omnilearn_lab.errors import ConfigError, JetsError, nearest
from omnilearn_lab.models.batch import Batch
from omnilearn_lab.models.packing import Packing
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


class Tableau(NamedTuple):
    """A Runge-Kutta method: stage ``i`` is evaluated at ``t + nodes[i] h``, from the stage before it."""

    order: int
    nodes: tuple[float, ...]  # time of each stage, as a part of the step; also the weight of the stage before
    weights: tuple[float, ...]  # of the stages in the step

    @property
    def n_evaluations(self) -> int:
        """Evaluations of the right-hand side in one step."""
        return len(self.nodes)


SOLVERS = {
    "euler": Tableau(1, (0.0,), (1.0,)),
    "midpoint": Tableau(2, (0.0, 0.5), (0.0, 1.0)),
    "heun": Tableau(2, (0.0, 1.0), (0.5, 0.5)),
    "ralston3": Tableau(3, (0.0, 0.5, 0.75), (2 / 9, 3 / 9, 4 / 9)),
    "rk4": Tableau(4, (0.0, 0.5, 0.5, 1.0), (1 / 6, 2 / 6, 2 / 6, 1 / 6)),
}


def integrate(
    velocity: Callable[[Tensor, Any], Tensor],
    start: Tensor,
    times: Sequence[float] | Sequence[Tensor],
    *,
    method: str = "ralston3",
) -> Tensor:
    """Follow dx/dt = velocity(x, t) from ``times[0]`` to ``times[-1]``.

    Parameters
    ----------
    velocity
        The right-hand side; x has the shape of ``start``, t is a number.
    start
        x at ``times[0]``, any shape.
    times
        Grid, N + 1 numbers, falling or rising; or N + 1 tensors that broadcast against x, when its rows
        have times of their own.
    method
        A key of `SOLVERS`. ``"ralston3"`` has the smallest error at equal numbers of evaluations, 12 to
        96, on a mixture of Gaussians under the cosine schedule (the tests measure it).

    Returns
    -------
    Tensor
        x at ``times[-1]``.

    References
    ----------
    A. Ralston, Runge-Kutta methods with minimum error bounds, Math. Comp. 16 (1962) 431.

    Examples
    --------
    >>> import torch
    >>> round(integrate(lambda x, t: x, torch.tensor(1.0), [0.0, 0.5, 1.0]).item(), 2)
    2.71
    """
    if method not in SOLVERS:
        raise ConfigError(f"solver '{method}'; {nearest(method, SOLVERS)}")
    if len(times) < 2:
        raise ConfigError(f"a grid of {len(times)} times has no step: give two or more")
    state = start
    for time, after in pairwise(times):
        state = _step(velocity, state, time, after - time, SOLVERS[method])
    return state


def _step(
    velocity: Callable[[Tensor, Any], Tensor], state: Tensor, time: Any, step: Any, tableau: Tableau
) -> Tensor:
    total, slope = state, None
    for node, weight in zip(tableau.nodes, tableau.weights, strict=True):
        at = state if slope is None else state + node * step * slope
        slope = velocity(at, time + node * step)
        total = total + weight * step * slope
    return total


PUBLISHED, DDIM = "published", "ddim"
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
        A solver of `omnilearn_lab.models.diffusion.SOLVERS`; for PET also ``"ddim"``, the first-order
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
def sample(model: VelocityModel, jets: JetInputs, *, config: SamplerConfig = SamplerConfig()) -> Samples:
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
    counts = jets.counts.cpu().numpy()
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
    model: VelocityModel, batch: Batch, *, config: SamplerConfig = SamplerConfig()
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
    velocity = partial(_velocity, model, batch, config.guidance)
    noise = draw_noise(model, len(batch.features), config)
    states = [noise.to(batch.features.device, non_blocking=True)]
    for span in pairwise(i / config.n_steps for i in range(config.n_steps, -1, -1)):
        states.append(follow(velocity, states[-1], 1, path=model.path, method=config.method, span=span))
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
    if config.method not in SOLVERS and path != "cosine":
        raise ConfigError(
            f"'{config.method}' samples along PET's cosine path; take one of {sorted(SOLVERS)} here"
        )
    samplers = {DDIM: ddim, PUBLISHED: midpoint_ddim}
    solve = samplers.get(config.method) or partial(follow, path=path, method=config.method)
    if not config.show_progress:
        return solve(velocity, noise, config.n_steps)
    from tqdm.auto import tqdm

    with tqdm(desc="sampling", unit="evaluation", leave=False) as bar:

        def counted(state: Tensor, time: float) -> Tensor:
            bar.update()
            return velocity(state, time)

        return solve(counted, noise, config.n_steps)


def draw_noise(model: VelocityModel, n_particles: int, config: SamplerConfig) -> Tensor:
    """Noise at t = 1 of a network's path, shape (T, n_diffused), on the CPU: the same on every device."""
    generator = torch.Generator().manual_seed(config.seed)
    if model.path == "straight":
        return config.noise.draw(n_particles, generator)
    return torch.randn(n_particles, model.config.n_diffused, generator=generator)


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
    """Velocity at one time for all jets; what is not diffused is zero."""
    return _guided(model, batch, guidance, state, batch.features.new_full((len(batch),), time))


def _guided(model: VelocityModel, batch: Batch, guidance: float, state: Tensor, time: Tensor) -> Tensor:
    features = torch.zeros_like(batch.features)
    features[:, : state.shape[1]] = state
    noisy = batch.replace(features=features, points=features[:, :2])
    velocity = model.velocity(noisy, time, batch.label)
    if guidance == 0:
        return velocity
    return (1 + guidance) * velocity - guidance * model.velocity(noisy, time, None)


def follow(
    velocity: Callable[[Tensor, Any], Tensor],
    start: Tensor,
    n_steps: int,
    *,
    path: str = "cosine",
    method: str = "ralston3",
    span: tuple[Any, Any] = (1.0, 0.0),
) -> Tensor:
    """Solve the flow of a network, from t = 1 to t = 0 unless told otherwise.

    With x = cos(phi) x_0 + sin(phi) eps the velocity v = cos(phi) eps - sin(phi) x_0 is dx/dphi, so the
    equation of the cosine schedule is dx/dphi = v(x, phi), and phi is linear in t. On a straight path
    it is dx/dt = v(x, t), the flow of PET v2.

    Parameters
    ----------
    velocity
        v(x, t) with t in [0, 1].
    start
        x at the first time.
    n_steps
        Equal steps in t.
    path
        A key of `PATHS`.
    method
        See `omnilearn_lab.models.diffusion.integrate`.
    span
        First and last time: two numbers, or two tensors when rows have times of their own.

    Returns
    -------
    Tensor
        x at the last time.

    Examples
    --------
    A unit Gaussian stays what it is, so its velocity is zero:

    >>> import torch
    >>> follow(lambda x, t: torch.zeros_like(x), torch.tensor([0.3]), 4)
    tensor([0.3000])
    >>> follow(lambda x, t: torch.ones_like(x), torch.tensor([0.3]), 4, path="straight")
    tensor([-0.7000])
    """
    place_of, time_of = PATHS[path]
    first, last = (place_of(time) for time in span)

    def by_place(state: Tensor, place: Any) -> Tensor:
        time = time_of(place)
        return velocity(state, time.clamp(0, 1) if isinstance(time, Tensor) else min(max(time, 0.0), 1.0))

    places = [first + (last - first) * i / n_steps for i in range(n_steps + 1)]
    return integrate(by_place, start, places, method=method)


PATHS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "cosine": (cosine_angle, cosine_time),
    "straight": (float, float),
}
"""In what the flow of a network is solved, by its ``path``: that as a function of time, and back."""


def ddim(velocity: Velocity, noise: Tensor, n_steps: int) -> Tensor:
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
    state = noise
    for i in range(n_steps, 0, -1):
        state = math.cos(turn) * state + math.sin(turn) * velocity(state, i / n_steps)
    return state


def midpoint_ddim(velocity: Velocity, noise: Tensor, n_steps: int) -> Tensor:
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

    Returns
    -------
    Tensor
        Estimate of x at t = 0.

    References
    ----------
    J. Song, C. Meng, S. Ermon, arXiv:2010.02502; T. Karras et al., arXiv:2206.00364; arXiv:2404.16091.
    """
    state = estimate = noise
    for i in range(n_steps, 0, -1):
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


def average_velocity(
    velocity: Callable[[Tensor, Tensor], Tensor],
    state: Tensor,
    span: tuple[Tensor, Tensor],
    *,
    method: str = "ralston3",
    n_substeps: int = 1,
) -> Tensor:
    r"""Mean of the velocity along its own flow between two times.

    In the angle :math:`\phi` of the cosine schedule the flow is :math:`dx/d\phi = v(x, \phi)`, so

    .. math:: \bar v = \frac{x(\phi_1) - x(\phi_0)}{\phi_1 - \phi_0}

    and one Euler step with :math:`\bar v` is exact, however long it is.

    Parameters
    ----------
    velocity
        v(x, t), with times of the shape of ``span``.
    state
        x at the first time, shape (T, n).
    span
        First and last time of every row, each shape (T, 1), or two tensors without dimension.
    method, n_substeps
        Solver between the two times: see `omnilearn_lab.models.diffusion.integrate`.

    Returns
    -------
    Tensor
        Mean velocity, shape (T, n).

    References
    ----------
    T. Salimans, J. Ho, arXiv:2202.00512, section 3, where the solver is two DDIM steps.

    Examples
    --------
    Data that are a single point at 1: v = (cos(phi) x - 1) / sin(phi).

    >>> import torch
    >>> def velocity(x, t):
    ...     phi = cosine_angle(t)
    ...     return (torch.cos(phi) * x - 1) / torch.sin(phi)
    >>> late, early = torch.tensor(1.0), torch.tensor(0.5)
    >>> mean = average_velocity(velocity, torch.tensor([0.0]), (late, early), n_substeps=8)
    >>> round(float(mean * (cosine_angle(early) - cosine_angle(late))), 3)  # cos(pi / 4), from 0
    0.707
    """
    if n_substeps < 1:
        raise ConfigError(f"n_substeps is {n_substeps}: at least 1")
    reached = follow(velocity, state, n_substeps, method=method, span=span)
    first, last = (cosine_angle(time) for time in span)
    return (reached - state) / (last - first)


@torch.no_grad()
def distillation_pair(
    teacher: VelocityModel,
    batch: Batch,
    n_steps: int,
    *,
    solver: tuple[str, int] = ("ralston3", 1),
    guidance: float = 0.0,
) -> tuple[Perturbed, Tensor]:
    """Perturbed jets, their times, and the mean velocity that takes each one step further.

    Every jet gets one of the times 1/N, 2/N, ..., 1 of a student with N Euler steps; the target is the
    teacher's `average_velocity` from there to the next lower one.

    Parameters
    ----------
    teacher
        A trained network, in evaluation mode.
    batch
        Clean jets, with labels when the teacher knows classes.
    n_steps
        N, the student's steps.
    solver
        The teacher's method and its steps within one of the student's.
    guidance
        w of (1 + w) v(label) - w v(no label): the student learns the guided flow at no extra cost.

    Returns
    -------
    Perturbed
        Its ``target`` is the mean velocity, shape (T, n_diffused).
    Tensor
        Times, shape (B,).

    Examples
    --------
    >>> from omnilearn_lab.models import PET, PETConfig
    >>> jets = Batch(torch.zeros(4, 13), torch.zeros(4, 2), torch.tensor([0, 3, 4]), torch.zeros(2, 4))
    >>> pair, time = distillation_pair(PET(PETConfig(width=8, n_layers=1, n_heads=2)).eval(), jets, 4)
    >>> pair.target.shape, bool(((4 * time) % 1 == 0).all())
    (torch.Size([4, 3]), True)
    """
    if n_steps < 1:
        raise ConfigError(f"n_steps is {n_steps}: at least 1")
    time = ((torch.rand(len(batch), device=batch.features.device) * n_steps).floor() + 1) / n_steps
    start = perturb(batch, time, n_diffused=teacher.config.n_diffused)
    rows = batch.packing.to_rows(time[:, None])
    firsts = batch.offsets[:-1]

    def velocity(state: Tensor, row_time: Tensor) -> Tensor:
        return _guided(teacher, start.batch, guidance, state, row_time[firsts, 0])

    span = (rows, (rows - 1 / n_steps).clamp(min=0.0))
    diffused = start.batch.features[:, : teacher.config.n_diffused]
    method, n_substeps = solver
    mean = average_velocity(velocity, diffused, span, method=method, n_substeps=n_substeps)
    return start._replace(target=mean), time


CONTRASTIVE_SCALE = 2.74
NO_LABEL = -1


def class_entropy(logits: Tensor, label: Tensor, *, n_jet_classes: int | None = None) -> Tensor:
    """Cross-entropy of each jet; with ``n_jet_classes``, jet and event classes compete among their own kind.

    Parameters
    ----------
    logits
        Shape (B, C).
    label
        Shape (B,).
    n_jet_classes
        Number of jet classes, the first of the C; None: one kind.

    Returns
    -------
    Tensor
        Shape (B,).

    Examples
    --------
    >>> import torch
    >>> class_entropy(torch.zeros(2, 5), torch.tensor([0, 4]), n_jet_classes=2).exp().round().tolist()
    [2.0, 3.0]
    """
    if n_jet_classes is not None:
        is_event_class = torch.arange(logits.shape[1], device=logits.device) >= n_jet_classes
        other_kind = (label >= n_jet_classes)[:, None] != is_event_class
        logits = logits.masked_fill(other_kind, -torch.inf)
    return functional.cross_entropy(logits, label, reduction="none")


def velocity_error(velocity: Tensor, target: Tensor, packing: Packing) -> Tensor:
    """Squared error of the velocity of each jet, summed over features, mean over its particles: shape (B,).

    Parameters
    ----------
    velocity, target
        Shapes (T, F).
    packing
        The jets.

    Returns
    -------
    Tensor
        Shape (B,).

    Examples
    --------
    >>> import torch
    >>> packing = Packing.build(torch.tensor([0, 1, 3]))
    >>> velocity_error(torch.ones(3, 4), torch.zeros(3, 4), packing).tolist()
    [4.0, 4.0]
    """
    return packing.sum_rows((velocity - target).square().sum(1)) / packing.counts


def contrastive_entropy(clean: Tensor, perturbed: Tensor) -> Tensor:
    """Mean of the two cross-entropies of 2.74 A B', A and B the embeddings at unit length, of each jet.

    Parameters
    ----------
    clean, perturbed
        One embedding per jet, shapes (B, D).

    Returns
    -------
    Tensor
        Shape (B,).

    Examples
    --------
    >>> import torch
    >>> contrastive_entropy(torch.ones(4, 3), torch.ones(4, 3)).exp().round().tolist()
    [4.0, 4.0, 4.0, 4.0]
    """
    first, second = (functional.normalize(part, dim=-1, eps=1e-3) for part in (clean, perturbed))
    logits = CONTRASTIVE_SCALE * first @ second.T
    target = torch.arange(len(logits), device=logits.device)
    losses = functional.cross_entropy(logits, target, reduction="none")
    return (losses + functional.cross_entropy(logits.T, target, reduction="none")) / 2
