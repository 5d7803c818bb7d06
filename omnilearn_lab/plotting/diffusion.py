"""A jet on its way from noise to data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omnilearn_lab.errors import FigureError
from omnilearn_lab.plotting.data import Column, Table, attach_data
from omnilearn_lab.plotting.figure import PaperFigure, describe
from omnilearn_lab.plotting.jets import DETA, DPHI, draw_radius
from omnilearn_lab.plotting.style import PALETTE, figure_label, in_house_style

__all__ = [
    "diffusion_trajectory",
]

_AREA, _SMALLEST = 500.0, 3.0


@in_house_style
def diffusion_trajectory(
    times: Sequence[float],
    particles: Any,
    *,
    n_panels: int = 5,
    radius: float | None = 0.8,
    reach: float | None = None,
    source: str | None = None,
) -> Figure:
    r"""One jet at several times of the generation, from noise (left) to particles (right).

    Parameters
    ----------
    times : array, shape (S,)
        Diffusion time of each step, in the order of generation: usually from 1 (noise) to 0 (data).
    particles : array, shape (S, N, 2) or (S, N, 3)
        :math:`\Delta\eta`, :math:`\Delta\phi` [rad] and, if given, pt [GeV] of the N particles.
        Marker areas follow pt, relative to the hardest particle of the same step.
    n_panels
        Steps shown, spread evenly over the trajectory; first and last are among them.
    radius
        Radius of the dashed circle; None for none.
    reach
        Half width of the panels, for pictures of one size; by default everything shown fits.
    source
        What the data are, for the label above the panels.

    Returns
    -------
    Figure
        Table ``trajectory``: time and particle coordinates of the steps shown.

    Raises
    ------
    FigureError
        For shapes that do not fit or values that are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> steps = np.random.default_rng(0).normal(size=(3, 20, 3))
    >>> diffusion_trajectory([1.0, 0.5, 0.0], steps, n_panels=3)
    <figure: A jet of 20 particles generated in 3 steps, shown at times 1, 0.5, 0.>
    """
    when, steps = _checked(times, particles)
    shown = np.unique(np.linspace(0, len(when) - 1, max(1, min(n_panels, len(when)))).round().astype(int))
    figure = PaperFigure(figsize=(2.6 * len(shown) + 0.5, 3.1))
    axes = figure.subplots(1, len(shown), sharex=True, sharey=True, squeeze=False)[0]
    reach = reach or 1.05 * max(float(np.abs(steps[shown, :, :2]).max()), 1.05 * (radius or 0.0), 1e-6)
    for ax, i in zip(axes, shown, strict=True):
        _draw_step(ax, steps[i], radius)
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel=DETA, aspect="equal")
        ax.set_title(f"t = {when[i]:.2g}", loc="right", fontsize=10)
    axes[0].set_ylabel(DPHI)
    figure_label(figure, source)
    attach_data(figure, _table(when[shown], steps[shown]))
    text = ", ".join(f"{when[i]:.2g}" for i in shown)
    n_steps, n_particles = steps.shape[:2]
    describe(figure, f"A jet of {n_particles} particles generated in {n_steps} steps, shown at times {text}.")
    return figure


def _checked(times: Sequence[float], particles: Any) -> tuple[np.ndarray, np.ndarray]:
    when, steps = np.asarray(times, dtype=float), np.asarray(particles, dtype=float)
    if when.ndim != 1 or not len(when) or steps.ndim != 3 or len(steps) != len(when):
        raise FigureError(
            f"times have shape {when.shape} and particles {steps.shape}; (S,) and (S, N, 2 or 3) are needed"
        )
    if not steps.shape[1] or steps.shape[2] not in (2, 3):
        raise FigureError(
            f"particles have shape {steps.shape}; N > 0 particles with 2 or 3 columns are needed"
        )
    if not (np.isfinite(when).all() and np.isfinite(steps).all()):
        raise FigureError("the trajectory holds values that are not finite; look at the sampler that made it")
    return when, steps


def _draw_step(ax: Axes, particles: np.ndarray, radius: float | None) -> None:
    pt = particles[:, 2] if particles.shape[1] == 3 else np.full(len(particles), 0.1)
    hardest = max(float(pt.max()), 1e-12) if particles.shape[1] == 3 else 1.0
    area = np.maximum(_AREA * pt / hardest, _SMALLEST)
    ax.scatter(
        particles[:, 0],
        particles[:, 1],
        s=area,
        color=PALETTE[0],
        alpha=0.55,
        edgecolors="black",
        linewidths=0.3,
    )
    if radius:
        draw_radius(ax, radius)


def _table(when: np.ndarray, steps: np.ndarray) -> Table:
    time = Column("time", np.repeat(when, steps.shape[1]))
    flat = steps.reshape(-1, steps.shape[2])
    names = (("deta", ""), ("dphi", "rad"), ("pt", "GeV"))
    columns = tuple(Column(name, flat[:, i], unit) for i, (name, unit) in enumerate(names[: flat.shape[1]]))
    return Table("trajectory", (time,), columns)
