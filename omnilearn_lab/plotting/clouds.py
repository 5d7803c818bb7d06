"""Figures of haloes and molecules: velocities and forces as arrows, predicted against true numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from omnilearn_lab.display import plain
from omnilearn_lab.errors import FigureError
from omnilearn_lab.plotting.data import Column, Table, attach_data
from omnilearn_lab.plotting.figure import finish, new_axes, new_ratio_axes
from omnilearn_lab.plotting.style import PALETTE, in_house_style
from omnilearn_lab.simulation.molecules import ELEMENTS, bonds_of

_MOST_POINTS = 3000  # in a scatter plot
_COLOURS = {1: "0.9", 6: "0.35", 7: "#7aa6d8", 8: "#e08a83"}  # of atoms
_FORCE = 4.0  # that an arrow of 1 Angstrom stands for [eV/Angstrom]


@in_house_style
def halo_slice(
    position: ArrayLike,
    velocities: Mapping[str, ArrayLike],
    *,
    box: float,
    depth: float,
    source: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Haloes in a slice of a periodic box, with arrows for their velocities in the plane.

    Parameters
    ----------
    position : array, shape (H, 3)
        [Mpc/h]
    velocities : mapping of label to array, shape (H, 3)
        [km/s], such as the true and the predicted ones. An arrow of 1 Mpc/h stands for 50 km/s.
    box, depth
        Side of the box and thickness of the slice, at the low end of the third axis [Mpc/h].
    source, ax
        As in `omnilearn_lab.plotting.loss_curves`.

    Raises
    ------
    FigureError
        Without haloes in the slice, or velocities.
    """
    points = np.asarray(position)
    inside = points[:, 2] < depth
    if not inside.any() or not velocities:
        raise FigureError(
            f"{inside.sum()} haloes lie below {depth:g} Mpc/h and {len(velocities)} velocities are given; "
            "take a thicker slice, or name velocities"
        )
    figure, ax = new_axes(ax, width=5.6, height=5.9)
    x, y = points[inside, :2].T
    ax.plot(x, y, "o", color="0.35", markersize=4)
    for colour, (name, velocity) in zip(PALETTE, velocities.items(), strict=False):
        u, v = np.asarray(velocity)[inside, :2].T / 50
        arrows = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.005}
        ax.quiver(x, y, u, v, color=colour, label=name, **arrows)
    ax.set(xlabel="x [Mpc/h]", ylabel="y [Mpc/h]", xlim=(0, box), ylim=(0, 1.18 * box), aspect="equal")
    ax.legend(ncols=2, title="1 Mpc/h of arrow: 50 km/s", loc="upper center")
    each = {name: np.asarray(velocity)[inside] for name, velocity in velocities.items()}
    attach_data(figure, _arrow_table("haloes", {"x": x, "y": y}, each, ("Mpc/h", "km/s")))
    text = f"{inside.sum()} haloes in a slice of {depth:g} Mpc/h, with velocities: {', '.join(velocities)}."
    return finish(ax, text, source)


@in_house_style
def molecule_forces(
    numbers: ArrayLike,
    position: ArrayLike,
    forces: Mapping[str, ArrayLike],
    *,
    source: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """A molecule in the plane in which it is widest, with its bonds and arrows for the forces on its atoms.

    Parameters
    ----------
    numbers : array, shape (A,)
        Atomic numbers.
    position : array, shape (A, 3)
        [Angstrom]
    forces : mapping of label to array, shape (A, 3)
        [eV/Angstrom], such as the true and the predicted ones. An arrow of 1 Angstrom stands for 4 of them.
    source, ax
        As in `omnilearn_lab.plotting.loss_curves`.

    Raises
    ------
    FigureError
        Without forces, or for forces that are not one for each atom.
    """
    numbers, points = np.asarray(numbers), np.asarray(position, dtype=float)
    arrows = {name: np.asarray(force, dtype=float) for name, force in forces.items()}
    if not arrows or any(force.shape != points.shape for force in arrows.values()):
        given = {name: force.shape for name, force in arrows.items()}
        raise FigureError(f"forces of shape {points.shape} are needed, one for each atom; given: {given}")
    figure, ax = new_axes(ax, width=5.6, height=5.6)
    plane = np.linalg.svd(points - points.mean(0))[2][:2].T
    x, y = ((points - points.mean(0)) @ plane).T
    for i, j in np.argwhere(np.triu(bonds_of(numbers, points))):
        ax.plot(x[[i, j]], y[[i, j]], color="0.6", linewidth=3, zorder=1)
    for z in np.unique(numbers).tolist():
        look = {"color": _COLOURS[z], "edgecolors": "0.2", "zorder": 2, "label": ELEMENTS[z].symbol}
        ax.scatter(x[numbers == z], y[numbers == z], s=900 * ELEMENTS[z].radius, **look)
    for colour, (name, force) in zip(PALETTE, arrows.items(), strict=False):
        u, v = (force @ plane).T / _FORCE
        look = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.007, "zorder": 3}
        ax.quiver(x, y, u, v, color=colour, label=name, **look)
    ax.set(xlabel="Å", ylabel="Å", aspect="equal")
    ax.margins(0.2)
    ax.set_ylim(ax.get_ylim()[0], 1.7 * ax.get_ylim()[1])  # room for the legend
    ax.legend(ncols=3, title=f"1 Å of arrow: {_FORCE:g} eV/Å", loc="upper center", markerscale=0.4)
    where = {"Z": numbers} | dict(zip("xyz", points.T, strict=True))
    attach_data(figure, _arrow_table("atoms", where, arrows, ("Angstrom", "eV/Angstrom")))
    return finish(ax, f"A molecule of {len(points)} atoms with forces: {', '.join(arrows)}.", source)


def _arrow_table(
    name: str, where: Mapping[str, np.ndarray], arrows: Mapping[str, np.ndarray], units: tuple[str, str]
) -> Table:
    """Where arrows begin, and their components, with the units of both."""
    places = tuple(Column(key, values, "" if key == "Z" else units[0]) for key, values in where.items())
    components = (
        Column(f"{key}, {axis}", values, units[1])
        for key, vectors in arrows.items()
        for axis, values in zip("xyz", vectors.T, strict=True)
    )
    return Table(name, places, tuple(components))


@in_house_style
def energy_along(
    runs: Mapping[str, tuple[ArrayLike, ArrayLike]], *, source: str | None = None, ax: Axes | None = None
) -> Figure:
    """Change of the total energy in runs of molecular dynamics, which should be none.

    Parameters
    ----------
    runs : mapping of label to (time, energy)
        [ps] and [meV per atom], both of shape (S,).
    source, ax
        As in `omnilearn_lab.plotting.loss_curves`.

    Raises
    ------
    FigureError
        Without runs.
    """
    if not runs:
        raise FigureError("no runs are given; name at least one")
    figure, ax = new_axes(ax)
    titles, ends = ("Time [ps]", "Change of the total energy [meV/atom]"), []
    for colour, (name, (time, energy)) in zip(PALETTE, runs.items(), strict=False):
        ax.plot(time, energy, color=colour, label=name)
        attach_data(figure, Table.of(name, *zip(titles, (time, energy), strict=True)))
        ends.append(f"{name} by {np.asarray(energy)[-1]:.3g} meV per atom")
    ax.set(xlabel=titles[0], ylabel=titles[1])
    ax.set_yscale("symlog", linthresh=1.0)
    ax.margins(y=0.3)
    ax.legend(ncols=2)
    return finish(ax, f"The total energy changes: {', '.join(ends)}.", source)


@in_house_style
def predicted_against_true(
    target: ArrayLike,
    guesses: Mapping[str, ArrayLike],
    *,
    name: str,
    unit: str = "",
    source: str | None = None,
) -> Figure:
    """Predictions against the truth, and below them what is missing.

    Parameters
    ----------
    target : array, shape (N,)
    guesses : mapping of label to array, shape (N,)
    name, unit
        Of the number.
    source
        As in `omnilearn_lab.plotting.loss_curves`.

    Raises
    ------
    FigureError
        For predictions that are not as many as true numbers.
    """
    truth = np.ravel(target)
    kept = slice(None, None, max(1, len(truth) // _MOST_POINTS))
    figure, main, below = new_ratio_axes()
    spreads = []
    for colour, (key, guess) in zip(PALETTE, guesses.items(), strict=False):
        values = np.ravel(guess)
        if values.shape != truth.shape:
            raise FigureError(f"'{key}' has {len(values)} predictions for {len(truth)} true numbers")
        look = {"color": colour, "markersize": 3, "alpha": 0.6, "linestyle": "none", "marker": "o"}
        main.plot(truth[kept], values[kept], label=key, **look)
        below.plot(truth[kept], (values - truth)[kept], **look)
        number = Column("number", np.arange(len(truth))[kept])  # beside the truth: points are no curve
        pairs = zip(("True", "Predicted"), (truth, values), strict=True)
        true, predicted = (Column(f"{which} {plain(name)}", each[kept], unit) for which, each in pairs)
        attach_data(figure, Table(key, (number, true), (predicted,)))
        spreads.append(f"{key} off by {np.std(values - truth):.3g} (standard deviation)")
    ends = [truth.min(), truth.max()]
    main.plot(ends, ends, color="0.3", linewidth=1)
    below.axhline(0, color="0.3", linewidth=1)
    behind = f" [{unit}]" if unit else ""
    main.set_ylabel(f"Predicted{behind}")
    below.set(xlabel=f"True {name}{behind}", ylabel="Pred. − true")
    main.legend()
    return finish(main, f"Predicted against true {name}: {', '.join(spreads)}.", source)
