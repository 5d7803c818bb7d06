"""Jets as pictures: one jet in the eta-phi plane, and the average of many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from omnilearn_lab.errors import FigureError
from omnilearn_lab.jets import Jets, reduce_pid
from omnilearn_lab.plotting import style
from omnilearn_lab.plotting.data import Table, attach_data
from omnilearn_lab.plotting.figure import MOVING, PaperFigure, finish, named, new_axes

DETA, DPHI = r"$\Delta\eta$", r"$\Delta\phi$ [rad]"
_RADIUS = 0.8
_AREA_OF_HARDEST, _SMALLEST_AREA = 900.0, 4.0
_STEP_AREA, _SMALLEST_STEP = 500.0, 3.0


class Look(NamedTuple):
    """How one particle species is drawn, and which codes belong to it."""

    label: str
    codes: tuple[int, ...]
    color: str
    marker: str


_LOOKS = (
    Look("charged hadrons", (211, -211), style.PALETTE[0], "o"),
    Look("photons", (22,), style.PALETTE[4], "s"),
    Look("neutral hadrons", (130,), style.PALETTE[2], "D"),
    Look("electrons", (11, -11), style.PALETTE[1], "^"),
    Look("muons", (13, -13), style.PALETTE[3], "v"),
    Look("unknown", (0,), "0.5", "o"),
)


@style.in_house_style
def jet_display(
    jets: Jets,
    index: int = 0,
    *,
    radius: float | None = None,
    source: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    r"""One jet in the plane of pseudorapidity and azimuth, relative to its axis.

    The area of a marker is proportional to the particle's transverse momentum (the hardest
    particle always has the same area); colour and shape tell the species.

    Parameters
    ----------
    jets
        Species come from the particle field ``pid``; without it, particles are "unknown".
    index
        Which jet of the batch.
    radius
        Radius of the dashed circle: the R of the jet algorithm; default: what the provenance
        says, else 0.8.
    source
        What the data are; default: what the jets' provenance says.
    ax
        Axes to draw into; default: a new figure.

    Returns
    -------
    Figure
        Table ``particles``.

    Raises
    ------
    FigureError
        When there is no such jet, or the radius is not positive.

    Examples
    --------
    >>> jets = Jets.build(
    ...     {"deta": [0.1, 0.0], "dphi": [0.0, 0.1], "pt": [20.0, 80.0], "energy": [30.0, 90.0]},
    ...     offsets=[0, 2],
    ...     jet={"pt": [99.0], "eta": [1.0], "phi": [0.0], "mass": [10.0]},
    ... )
    >>> jet_display(jets)
    <figure: Jet of 2 particles in the plane of pseudorapidity and azimuth, pT 99 GeV, mass 10 GeV.>
    """
    if not -len(jets) <= index < len(jets):
        raise FigureError(f"there is no jet {index} among {len(jets)}; use 0 to {len(jets) - 1}")
    radius = jets.provenance.get("jet_radius", _RADIUS) if radius is None else radius
    if not radius > 0:
        raise FigureError(f"radius is {radius}; a positive number is needed")
    jet = jets[[index % len(jets)]]
    figure, ax = new_axes(ax, width=7.6, height=5.2)
    codes = (
        reduce_pid(jet.particles["pid"]) if "pid" in jet.particles else np.zeros(jet.n_particles, dtype=int)
    )
    scatter_particles(ax, jet.particles, codes)
    _frame(ax, radius, np.hypot(jet.particles["deta"], jet.particles["dphi"]).max())
    ax.text(1.04, 0.02, _caption(jet), transform=ax.transAxes, va="bottom")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), handletextpad=0.2)
    deta, dphi, pt = (jet.particles[name] for name in ("deta", "dphi", "pt"))
    columns = ("deta", deta), ("dphi [rad]", dphi), ("pt [GeV]", pt), ("pid", codes)
    attach_data(figure, Table.of("particles", *columns, independent=2))
    plane = f"Jet of {jet.n_particles} particles in the plane of pseudorapidity and azimuth"
    text = f"{plane}, pT {jet.jet['pt'][0]:.4g} GeV, mass {jet.jet['mass'][0]:.4g} GeV."
    return finish(ax, text, source or style.source_label(jets.provenance))


@style.in_house_style
def jet_image_average(
    jets: Mapping[str, Any],
    *,
    radius: float = _RADIUS,
    n_pixels: int = 33,
    top: float | None = None,
    source: str | None = None,
) -> Figure:
    """Average jet image of each sample: where the transverse momentum goes, as a fraction of the jet's.

    Parameters
    ----------
    jets : mapping of label to Jets
    radius
        The images cover plus or minus this in both directions.
    n_pixels
        Pixels along each side.
    top
        Upper end of the colours, so that figures can be compared; the brightest pixel by default.
    source
        What the data are; default: the provenance of the first sample.

    Returns
    -------
    Figure
        One table per label: mean fraction of the jet's sum of pt per pixel.

    Raises
    ------
    FigureError
        For empty samples, or when nothing falls inside.

    Examples
    --------
    >>> jets = Jets.build(
    ...     {"deta": [0.1, 0.0], "dphi": [0.0, 0.1], "pt": [20.0, 80.0], "energy": [30.0, 90.0]},
    ...     offsets=[0, 2],
    ...     jet={"pt": [99.0], "eta": [1.0], "phi": [0.0], "mass": [10.0]},
    ... )
    >>> jet_image_average({"QCD": jets}, n_pixels=3)
    <figure: Average jet image: QCD (1 jets).>
    """
    items = named(jets, "jets")
    edges = np.linspace(-radius, radius, n_pixels + 1)
    images = {label: _mean_image(label, batch, edges) for label, batch in items}
    top = top or max(image.max() for image in images.values())
    norm = LogNorm(top * 1e-4, top)
    figure = PaperFigure(figsize=(3.9 * len(items) + 1.0, 4.1))
    axes = figure.subplots(1, len(items), sharey=True, squeeze=False)[0]
    for ax, (label, image) in zip(axes, images.items(), strict=True):
        mesh = ax.pcolormesh(edges, edges, image.T, norm=norm, rasterized=True)
        ax.set(xlabel=DETA, aspect="equal", facecolor="0.92")
        ax.set_title(f"{label} ({len(jets[label]):,} jets)", loc="right", fontsize=10)
        ax.tick_params(which="both", color="0.4")
        attach_data(figure, _image_table(label, image, edges))
    axes[0].set_ylabel(DPHI)
    figure.colorbar(mesh, ax=axes, label=r"Mean fraction of jet $p_T$ per pixel", pad=0.01)
    text = "Average jet image: " + ", ".join(f"{k} ({len(v)} jets)" for k, v in items) + "."
    return finish(figure, text, source or style.source_label(items[0][1].provenance))


@style.in_house_style
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
    when, steps = _trajectory(times, particles)
    shown = np.unique(np.linspace(0, len(when) - 1, max(1, min(n_panels, len(when)))).round().astype(int))
    figure = PaperFigure(figsize=(2.6 * len(shown) + 0.5, 3.1))
    axes = figure.subplots(1, len(shown), sharex=True, sharey=True, squeeze=False)[0]
    reach = reach or 1.05 * max(float(np.abs(steps[shown, :, :2]).max()), 1.05 * (radius or 0.0), 1e-6)
    for ax, i in zip(axes, shown, strict=True):
        _draw_step(ax, steps[i], radius)
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel=DETA, aspect="equal")
        ax.set_title(_time_text(when[i]), loc="right", fontsize=10, gid=MOVING)
    axes[0].set_ylabel(DPHI)
    attach_data(figure, _trajectory_table(when[shown], steps[shown]))
    about = f"A jet of {steps.shape[1]} particles generated in {len(steps)} steps"
    return finish(figure, f"{about}, shown at times {', '.join(f'{when[i]:.2g}' for i in shown)}.", source)


def draw_radius(ax: Axes, radius: float) -> None:
    """Draw the dashed circle of the jet algorithm's radius."""
    ax.add_patch(Circle((0, 0), radius, fill=False, linestyle="--", edgecolor="0.35", linewidth=1.1))


def scatter_particles(
    ax: Axes, particles: Mapping[str, np.ndarray], codes: np.ndarray, hardest: float | None = None
) -> None:
    """Scatter particles with area proportional to pt, one call per species present."""
    pt = np.asarray(particles["pt"], dtype=float)
    area = np.maximum(_AREA_OF_HARDEST * pt / (hardest or pt.max()), _SMALLEST_AREA)
    for look in _LOOKS:
        rows = np.isin(codes, look.codes)
        if rows.any():
            drawn = {"color": look.color, "marker": look.marker, "edgecolors": "black", "linewidths": 0.4}
            ax.scatter(particles["deta"][rows], particles["dphi"][rows], s=area[rows], alpha=0.6, **drawn)
            ax.scatter([], [], s=45, alpha=0.8, label=f"{look.label} ({rows.sum()})", **drawn)


def _frame(ax: Axes, radius: float, farthest: float) -> None:
    reach = max(1.15 * radius, 1.08 * float(farthest))
    draw_radius(ax, radius)
    look = {"ha": "center", "va": "top", "fontsize": 9, "color": "0.3"}
    ax.annotate(f"R = {radius:g}", (0, -radius), (0, -3), textcoords="offset points", **look)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel=DETA, ylabel=DPHI)
    ax.set(aspect="equal", anchor="W")  # beside the legend, not in the middle


def _caption(jet: Jets) -> str:
    lines = [rf"$p_T$ = {jet.jet['pt'][0]:.4g} GeV", f"mass = {jet.jet['mass'][0]:.4g} GeV"]
    if jet.class_names and "label" in jet.jet:
        lines.insert(0, jet.class_names[int(jet.label[0])])
    return "\n".join(lines)


def _mean_image(label: str, jets: Any, edges: np.ndarray) -> np.ndarray:
    if not isinstance(jets, Jets) or not len(jets):
        raise FigureError(f"'{label}' must be a non-empty batch of Jets")
    total = np.add.reduceat(jets.particles["pt"].astype(float), jets.offsets[:-1])
    fraction = jets.particles["pt"] / np.repeat(total, jets.counts)
    image, _, _ = np.histogram2d(
        jets.particles["deta"], jets.particles["dphi"], bins=(edges, edges), weights=fraction
    )
    if not image.any():
        raise FigureError(f"no particle of '{label}' lies within {edges[-1]:g} of the jet axis; widen radius")
    return image / len(jets)


def _image_table(label: str, image: np.ndarray, edges: np.ndarray) -> Table:
    bins = np.stack([edges[:-1], edges[1:]], axis=1)
    deta, dphi = np.repeat(bins, len(bins), axis=0), np.tile(bins, (len(bins), 1))
    columns = ("deta", deta), ("dphi [rad]", dphi), ("Mean fraction of jet pt", image.ravel())
    return Table.of(label, *columns, note="normalised per jet", independent=2)


def _trajectory(times: Sequence[float], particles: Any) -> tuple[np.ndarray, np.ndarray]:
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
    x, y = particles[:, :2].T
    look = {"color": style.PALETTE[0], "alpha": 0.55, "edgecolors": "black", "linewidths": 0.3, "gid": MOVING}
    ax.scatter(x, y, s=_step_areas(particles), **look)
    if radius:
        draw_radius(ax, radius)


def _step_areas(particles: np.ndarray) -> np.ndarray:
    """Return marker areas: the hardest particle of a step always has the same."""
    if particles.shape[1] < 3:
        return np.full(len(particles), 0.1 * _STEP_AREA)
    return np.maximum(_STEP_AREA * particles[:, 2] / max(float(particles[:, 2].max()), 1e-12), _SMALLEST_STEP)


def move_trajectory(figure: PaperFigure, time: float, particles: np.ndarray) -> None:
    """Show another step in a `diffusion_trajectory` of one panel."""
    for artist in figure.findobj(lambda artist: artist.get_gid() == MOVING):
        if isinstance(artist, PathCollection):
            artist.set_offsets(particles[:, :2])
            artist.set_sizes(_step_areas(particles))
        else:
            artist.set_text(_time_text(time))


def _time_text(time: float) -> str:
    return f"t = {time:.2g}"


def _trajectory_table(when: np.ndarray, steps: np.ndarray) -> Table:
    columns = zip(("deta", "dphi [rad]", "pt [GeV]"), steps.reshape(-1, steps.shape[2]).T, strict=False)
    return Table.of("trajectory", ("time", np.repeat(when, steps.shape[1])), *columns)
