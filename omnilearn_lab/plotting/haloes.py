"""Figures of haloes: a slice of a box with velocities, and predicted against true numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from omnilearn_lab.errors import FigureError
from omnilearn_lab.plotting.figure import finish, new_axes, new_ratio_axes
from omnilearn_lab.plotting.style import PALETTE, in_house_style

_MOST_POINTS = 3000  # in a scatter plot


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
    text = f"{inside.sum()} haloes in a slice of {depth:g} Mpc/h, with velocities: {', '.join(velocities)}."
    return finish(ax, text, source)


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
        spreads.append(f"{key} off by {np.std(values - truth):.3g} (standard deviation)")
    ends = [truth.min(), truth.max()]
    main.plot(ends, ends, color="0.3", linewidth=1)
    below.axhline(0, color="0.3", linewidth=1)
    behind = f" [{unit}]" if unit else ""
    main.set_ylabel(f"Predicted {name}{behind}")
    below.set(xlabel=f"True {name}{behind}", ylabel="Pred. − true")
    main.legend()
    return finish(main, f"Predicted against true {name}: {', '.join(spreads)}.", source)
