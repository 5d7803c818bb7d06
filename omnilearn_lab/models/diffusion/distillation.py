"""Distillation: teach a network to take in one long step what a solver does in many short ones."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models.batch import Batch
from omnilearn_lab.models.diffusion.paths import Perturbed, cosine_angle, cosine_time, perturb
from omnilearn_lab.models.diffusion.samplers import VelocityModel
from omnilearn_lab.models.diffusion.solvers import integrate


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
        Solver between the two times: see `omnilearn_lab.models.diffusion.solvers.integrate`.

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
    first, last = (cosine_angle(time) for time in span)
    angles = [first + (last - first) * i / n_substeps for i in range(n_substeps + 1)]

    def by_angle(x: Tensor, angle: Tensor) -> Tensor:
        return velocity(x, cosine_time(angle).clamp(0.0, 1.0))

    reached = integrate(by_angle, state, angles, method=method)
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
        features = torch.zeros_like(batch.features)
        features[:, : state.shape[1]] = state
        noisy = start.batch.replace(features=features, points=features[:, :2])
        jet_time = row_time[firsts, 0]
        found = teacher.velocity(noisy, jet_time, batch.label)
        if guidance == 0:
            return found
        return (1 + guidance) * found - guidance * teacher.velocity(noisy, jet_time, None)

    span = (rows, (rows - 1 / n_steps).clamp(min=0.0))
    diffused = start.batch.features[:, : teacher.config.n_diffused]
    method, n_substeps = solver
    mean = average_velocity(velocity, diffused, span, method=method, n_substeps=n_substeps)
    return start._replace(target=mean), time
