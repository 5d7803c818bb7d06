"""Figures of papers: axes, ratio panels, bands over repetitions, files."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import Collection, LineCollection, PolyCollection
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator
from matplotlib.transforms import BboxBase

from omnilearn_lab.display import plain
from omnilearn_lab.errors import FigureError
from omnilearn_lab.machine import atomic_path, make_folder
from omnilearn_lab.plotting.data import FigureData, figure_data
from omnilearn_lab.plotting.style import LineLook, experiment_label, house_style

_BAND_ALPHA, _SEED_ALPHA = 0.22, 0.35
_BEHIND = {"alpha": 0.3, "linewidth": 5, "markersize": 11, "zorder": 0.5, "label": "_old"}
_BEHIND_LEVELS = {name: _BEHIND[name] for name in ("alpha", "linewidth", "zorder", "label")}
_MARGIN = 1.1  # from recorded points to the end of a logarithmic axis
_APART = 0.12  # of the axis, between their ticks and those of the reader's own


class Band(NamedTuple):
    """Mean curve and its spread over repeated trainings.

    Attributes
    ----------
    x, mean, spread : array, shape (K,)
        ``spread`` is the standard deviation over the repetitions (n - 1 in the denominator),
        zero where there is one repetition only.
    n_repetitions : int
        Different ones: 1 where all are the same, as of a training that does not depend on its seed.
    meaning : str
        What the spread is: ``"seeds"``, or ``"stat"`` for a statistical uncertainty.
    """

    x: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    n_repetitions: int
    meaning: str = "seeds"

    @property
    def errors(self) -> dict[str, np.ndarray]:
        """The spread under its name, or nothing where there is none."""
        return {self.meaning: self.spread} if np.any(self.spread) else {}


def band_of(curves: Sequence[tuple[Any, Any]], *, x: np.ndarray | None = None) -> Band:
    """Average curves over the x range that all of them cover.

    Curves with different points are interpolated linearly. Outside the common range nothing is
    averaged: a mean over the few repetitions that ran longest would jump.

    Parameters
    ----------
    curves : sequence of (x, y), each array of shape (K_i,)
        ``x`` rising.
    x : array, optional
        Points to average at; default: all points of all curves within the common range.

    Returns
    -------
    Band

    Raises
    ------
    FigureError
        For no curve, empty or unequal arrays, values that are not finite, or no common range.

    Examples
    --------
    >>> band = band_of([([1, 2, 3], [4.0, 3.0, 2.0]), ([1, 2], [6.0, 5.0])])
    >>> band.x, band.mean
    (array([1., 2.]), array([5., 4.]))
    """
    pairs = different([curve_arrays(curve) for curve in curves])
    if not pairs:
        raise FigureError("there is no curve to average; pass at least one (x, y) pair")
    grid = _common_points([points for points, _ in pairs]) if x is None else np.asarray(x, dtype=float)
    values = np.stack([np.interp(grid, points, heights) for points, heights in pairs])
    spread = values.std(axis=0, ddof=1) if len(pairs) > 1 else np.zeros(len(grid))
    return Band(grid, values.mean(axis=0), spread, len(pairs))


def curve_arrays(curve: tuple[Any, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return one curve as two checked float arrays."""
    try:
        points, heights = (np.asarray(values, dtype=float) for values in curve)
    except (TypeError, ValueError) as error:
        raise FigureError("a curve must be a pair (x, y) of number arrays") from error
    if points.ndim != 1 or points.shape != heights.shape or not len(points):
        raise FigureError(
            f"a curve has x of shape {points.shape} and y of shape {heights.shape}; "
            "two one-dimensional arrays of the same, non-zero length are needed"
        )
    for name, values in (("x", points), ("y", heights)):
        if not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values)))
            raise FigureError(f"{name} of a curve is not finite at point {row}; remove that point")
    if np.any(np.diff(points) < 0):
        raise FigureError("x of a curve falls; sort the points by x first")
    return points, heights


def named(series: Mapping[str, Any], what: str) -> list[tuple[str, Any]]:
    """Return a mapping's items, or say that it is empty or no mapping."""
    if not isinstance(series, Mapping):
        raise FigureError(f"{what} must be a mapping of label to numbers, not {type(series).__name__}")
    if not series:
        raise FigureError(f"{what} is empty; give at least one labelled entry")
    return [(str(label), value) for label, value in series.items()]


def different(curves: Sequence[tuple[np.ndarray, ...]]) -> list[tuple[np.ndarray, ...]]:
    """Return all repetitions, or one where all are the same: it does not depend on the seed."""
    same = all(np.array_equal(a, b) for other in curves[1:] for a, b in zip(other, curves[0], strict=True))
    return list(curves[:1] if same else curves)


def draw_band(ax: Axes, band: Band, look: LineLook, label: str, *, is_upright: bool = False) -> None:
    """Draw the mean as a line, the spread as a band; a single point gets a marker."""
    marker = "o" if len(band.x) == 1 else None
    points = (band.mean, band.x) if is_upright else (band.x, band.mean)
    ax.plot(*points, label=label, marker=marker, **look._asdict())
    if band.errors:
        low, high = band.mean - band.spread, band.mean + band.spread
        fill = ax.fill_betweenx if is_upright else ax.fill_between
        fill(band.x, low, high, color=look.color, alpha=_BAND_ALPHA, linewidth=0)


def draw_repetitions(ax: Axes, curves: Sequence[tuple[Any, Any]], look: LineLook) -> None:
    """Draw every repetition as a faint thin line under the band."""
    for curve in curves:
        ax.plot(*curve_arrays(curve), color=look.color, alpha=_SEED_ALPHA, linewidth=0.7, label="_seed")


def draw_behind(figure: Figure, earlier: FigureData, title: str) -> int:
    """Draw the curves of an earlier version of a figure faintly behind its own, each in its series' colour.

    So are short lines over groups: what was measured with more jets has a lower floor. Horizontal axes stay
    as they are, but for logarithmic ones, of sizes; these and the vertical ones grow as far as the earlier
    curves need.

    Parameters
    ----------
    figure
        A figure of this package.
    earlier
        Numbers of the same figure from another run; series without a counterpart are left out.
    title
        For the legend.

    Returns
    -------
    int
        How many curves were drawn.

    Examples
    --------
    >>> from omnilearn_lab.plotting import loss_curves
    >>> before = figure_data(loss_curves({"scratch": ([1, 2, 3], [0.5, 0.4, 0.3])}))
    >>> draw_behind(loss_curves({"scratch": ([1, 2], [0.6, 0.5])}), before, "recorded")
    1
    """
    own, n_drawn = figure_data(figure), 0
    for ax in figure.axes:
        curves = {line: _counterpart(line, own, earlier) for line in ax.get_lines()}
        known = [(line, curve) for line, curve in curves.items() if curve is not None]
        limits, n_drawn = (ax.get_xlim(), ax.get_ylim()), n_drawn + len(known)
        for line, curve in reversed(known):
            look = {"marker": line.get_marker(), "linestyle": "" if line.get_linestyle() == "None" else "-"}
            ax.plot(*curve, color=line.get_color(), **look, **_BEHIND)
        if known:
            levels = _draw_levels_behind(ax, own, earlier)
            _refit(ax, limits, np.concatenate([*(curve for _, curve in known), *levels], axis=1))
            ax.plot([], [], **look, **_BEHIND | {"color": "0.4", "label": title})
            _renew_legend(ax)
    return n_drawn


def free_legend(ax: Axes, **look: Any) -> None:
    """Make the legend where it covers least; where that is not nothing, lengthen the vertical axis for it."""
    legend = ax.legend(**look)
    ax.figure.draw_without_rendering()
    box = legend.get_window_extent()
    lines = [*ax.get_lines(), *(some for some in ax.collections if isinstance(some, LineCollection))]
    areas = [*ax.patches, *(some for some in ax.collections if isinstance(some, PolyCollection))]
    if any(_meets(one, box, False) for one in lines) or any(_meets(one, box, True) for one in areas):
        low, high = ax.get_ylim()
        share = 0.06 * len(legend.get_texts()) + 0.03
        is_log = ax.get_yscale() == "log"
        ax.set_ylim(top=high * (high / low) ** share if is_log else high + share * (high - low))


def _meets(drawn: Artist, box: BboxBase, is_area: bool) -> bool:
    paths = drawn.get_paths() if isinstance(drawn, Collection) else [drawn.get_path()]
    placed = (path.transformed(drawn.get_transform()) for path in paths if len(path))
    return any(path.intersects_bbox(box, filled=is_area) for path in placed)


def _renew_legend(ax: Axes) -> None:
    """Take up new lines in the legend, in its place and letters; make room where it would cover some."""
    old = ax.get_legend()
    place = old.get_bbox_to_anchor().transformed(ax.transAxes.inverted()) if old._bbox_to_anchor else None
    look = {"ncols": old._ncols, "fontsize": old._fontsize, "markerscale": old.markerscale}
    with house_style():
        free_legend(ax, loc=old._loc, bbox_to_anchor=place, **look)


def _counterpart(line: Line2D, own: FigureData, earlier: FigureData) -> np.ndarray | None:
    """Return the earlier points, shape (2, K), of the series that a line shows, in the line's order."""
    across, up = (np.asarray(values) for values in line.get_data())
    for table in (t for t in own.tables if t.name in earlier.names):
        x, y = table.independent[0].values, table.dependent[0].values
        then = [
            columns[0].values for columns in (earlier[table.name].independent, earlier[table.name].dependent)
        ]
        if then[0].dtype.kind == x.dtype.kind == "U" and np.array_equal(up, y):  # groups, each at its place
            places = dict(zip(x, across, strict=True))
            rows = [(places[group], value) for group, value in zip(*then, strict=True) if group in places]
            curve = np.array(rows, dtype=float).T
            return None if not rows or _is_same(curve, (across, up)) else curve
        for own_order, order in (((x, y), then), ((y, x), then[::-1])):
            if then[0].dtype.kind == "f" and all(map(np.array_equal, own_order, (across, up))):
                curve = np.array(order, dtype=float)
                return None if _is_same(curve, own_order) else curve
    return None


def _is_same(earlier: np.ndarray, own: Sequence[np.ndarray]) -> bool:
    """An earlier curve that is the own one to the digits that records keep: nothing to compare."""
    now = np.asarray(own, dtype=float)
    return earlier.shape == now.shape and np.allclose(earlier, now, rtol=1e-3, atol=0, equal_nan=True)


def _draw_levels_behind(ax: Axes, own: FigureData, earlier: FigureData) -> list[np.ndarray]:
    """Draw the earlier version of short lines over groups; return their middles, each of shape (2, K)."""
    middles = []
    for lines in list(ax.collections):
        if (name := lines.get_label()) in {*own.names} & {*earlier.names}:
            then = earlier[name]
            heights = dict(zip(then.independent[0].values, then.dependent[0].values, strict=True))
            places = zip(own[name].independent[0].values, lines.get_segments(), strict=True)
            ends = [(*part[:, 0], heights[group]) for group, part in places if group in heights]
            left, right, up = np.array(ends, dtype=float).reshape(-1, 3).T
            ax.hlines(up, left, right, colors=lines.get_color(), **_BEHIND_LEVELS)
            middles.append(np.array([(left + right) / 2, up]))
    return middles


def _refit(ax: Axes, limits: tuple[tuple[float, float], tuple[float, float]], points: np.ndarray) -> None:
    (left, right), (low, high) = limits
    x, y = points
    if ax.get_xscale() == "log":
        left, right = min(left, x.min() / _MARGIN), max(right, x.max() * _MARGIN)
        _tick_sizes(ax, x)
    seen = y[(x >= left) & (x <= right) & np.isfinite(y)]
    if ax.get_yscale() == "log":
        lowest, highest = seen / _MARGIN, seen * _MARGIN
    else:
        lowest, highest = seen - 0.02 * (high - low), seen + 0.02 * (high - low)
    ax.set(xlim=(left, right), ylim=(min([low, *lowest]), max([high, *highest])))


def _tick_sizes(ax: Axes, sizes: np.ndarray) -> None:
    """Write sizes at a horizontal axis that has chosen ticks, where there is room beside those."""
    own = list(ax.get_xticks())
    if isinstance(ax.xaxis.get_major_locator(), FixedLocator):
        apart = _APART * math.log(max(*own, *sizes) / min(*own, *sizes))
        more = [x for x in np.unique(sizes) if all(abs(math.log(x / tick)) > apart for tick in own)]
        ax.set_xticks([*own, *more], [f"{size:,.10g}" for size in (*own, *more)])


def repetitions(value: Any, is_single: bool) -> list[Any]:
    """Return a list of repetitions, also for one that was given without a list around it."""
    items = [value] if is_single else list(value)
    if not items:
        raise FigureError("a series has no repetition; give at least one")
    return items


def counted(label: str, n: int) -> str:
    """Return the label with the number of seeds behind it, where it depends on the seed."""
    return label if n == 1 else f"{label} (mean, spread of {n} seeds)"


def _common_points(all_points: Sequence[np.ndarray]) -> np.ndarray:
    low = max(points[0] for points in all_points)
    high = min(points[-1] for points in all_points)
    if low > high:
        raise FigureError(f"the curves share no x: one starts at {low:g}, another ends at {high:g}")
    merged = np.unique(np.concatenate(all_points))
    return merged[(merged >= low) & (merged <= high)]


_RATIO_HEIGHTS = (3, 1)
_N_COLORS = 255
MOVING = "moving"
"""Mark (``gid``) of the artists of a figure that a slider moves; see `Screen`."""
_FORMATS = ("png", "pdf", "svg")


class PaperFigure(Figure):
    """A matplotlib figure that pyplot does not know.

    It needs no ``close``, is drawn in the house look whatever the global settings are, and as
    the last expression of a notebook cell appears once, with a text for those who cannot see it.

    Attributes
    ----------
    alt_text : str
        What the figure shows, in words.
    figure_data : FigureData
        The numbers behind it; see `omnilearn_lab.plotting.figure_data`.

    Examples
    --------
    >>> figure = PaperFigure()
    >>> figure.alt_text = "an empty figure"
    >>> figure
    <figure: an empty figure>
    """

    alt_text: str
    figure_data: FigureData

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        with house_style():
            super().__init__(*args, **kwargs)
        FigureCanvasAgg(self)
        self.alt_text = "figure"
        self.figure_data = FigureData()

    def draw(self, renderer: RendererBase) -> None:
        """Draw in the house look (ticks are made only now)."""
        with house_style():
            super().draw(renderer)

    def savefig(self, fname: Any, **kwargs: Any) -> None:
        """Write to a file, as matplotlib does, in the house look."""
        with house_style():
            super().savefig(fname, **kwargs)

    def to_png(self, dpi: float | None = None) -> bytes:
        """Return the figure as a PNG image of at most 255 colours (a third of the usual size)."""
        from PIL import Image

        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=dpi or self.dpi)
        image = Image.open(buffer).convert("RGB").quantize(_N_COLORS, dither=Image.Dither.NONE)
        small = io.BytesIO()
        image.save(small, format="png", optimize=True)
        return small.getvalue()

    def __repr__(self) -> str:
        return f"<figure: {self.alt_text}>"

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        picture = base64.b64encode(self.to_png()).decode("ascii")
        return {"image/png": picture, "text/plain": repr(self)}, {"image/png": {"alt": self.alt_text}}


class Screen:
    """A figure drawn once; what moves in it is drawn again and again, without the rest.

    Parameters
    ----------
    figure
        Artists whose ``gid`` is `MOVING` are those that move.
    dpi
    like
        A screen with the same panels, whose layout is taken over: finding one takes most of the time.

    Examples
    --------
    >>> figure, ax = new_axes()
    >>> (line,) = ax.plot([0, 1], [0, 1], gid=MOVING)
    >>> screen = Screen(figure, dpi=50)
    >>> before = screen.to_png()
    >>> line.set_ydata([1, 0])
    >>> screen.to_png() == before
    False
    """

    def __init__(self, figure: PaperFigure, *, dpi: float, like: Screen | None = None) -> None:
        self.figure = figure
        if like is not None and len(like.figure.axes) == len(figure.axes):
            figure.set_layout_engine("none")
            for ax, other in zip(figure.axes, like.figure.axes, strict=True):
                ax.set_position(other.get_position())
        self._moving = figure.findobj(lambda artist: artist.get_gid() == MOVING)
        for artist in self._moving:
            artist.set_animated(True)
        figure.set_dpi(dpi)
        figure.canvas.draw()
        figure.set_layout_engine("none")
        self._background = figure.canvas.copy_from_bbox(figure.bbox)

    def to_png(self) -> bytes:
        """Return the picture as it is now."""
        from PIL import Image

        canvas = self.figure.canvas
        canvas.restore_region(self._background)
        with house_style():
            for artist in self._moving:
                self.figure.draw_artist(artist)
        buffer = io.BytesIO()
        Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").save(buffer, format="png")
        return buffer.getvalue()


def new_axes(ax: Axes | None = None, *, width: float = 6.4, height: float = 4.8) -> tuple[Figure, Axes]:
    """Return the given axes with their figure, or one new pair."""
    if ax is not None:
        return root_figure(ax), ax
    figure = PaperFigure(figsize=(width, height))
    return figure, figure.add_subplot()


def new_ratio_axes(axes: tuple[Axes, Axes] | None = None) -> tuple[Figure, Axes, Axes]:
    """Return a tall panel above a flat one with the same x axis, new or the given pair."""
    if axes is not None:
        main, ratio = _pair(axes)
        return root_figure(main), main, ratio
    figure = PaperFigure(figsize=(6.4, 5.6))
    figure.set_layout_engine("constrained", h_pad=0.02, hspace=0.0)
    main, ratio = ratio_panels(figure)
    return figure, main, ratio


def ratio_panels(figure: Figure | SubFigure) -> tuple[Axes, Axes]:
    """Add the two panels of `new_ratio_axes` to a figure or a part of one."""
    panels = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": _RATIO_HEIGHTS, "hspace": 0.0})
    panels[0].tick_params(labelbottom=False)
    return panels[0], panels[1]


def root_figure(ax: Axes) -> Figure:
    """Return the figure that holds the axes, also from inside a sub-figure."""
    if not isinstance(ax, Axes):
        raise FigureError(f"ax is a {type(ax).__name__}; pass matplotlib Axes, or nothing for a new figure")
    figure = ax.get_figure(root=True)
    if not isinstance(figure, Figure):
        raise FigureError("the axes belong to no figure; make them with figure.add_subplot()")
    return figure


def plain_log_ticks(ax: Axes) -> None:
    """Write 1, 2, 5 at a logarithmic vertical axis, where powers of ten alone would be too few."""
    low, high = ax.get_ylim()
    if high / low < 1000:
        ax.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        for axis_formatter in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
            axis_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def describe(figure: Figure, text: str) -> None:
    """Set the text for those who cannot see the figure; it grows when several plots share a figure.

    Formulas are written in Unicode.

    >>> figure = PaperFigure()
    >>> describe(figure, r"Distribution of $\\tau_{21}$.")
    >>> figure
    <figure: Distribution of τ₂₁.>
    """
    earlier = getattr(figure, "alt_text", "figure")
    figure.alt_text = plain(text) if earlier == "figure" else f"{earlier} {plain(text)}"  # type: ignore[attr-defined]


def finish(place: Axes | Figure, text: str = "", source: str | None = None) -> Figure:
    """Write above axes or figure what the data are, `describe` the figure, and return it."""
    experiment_label(place, source)
    figure = root_figure(place) if isinstance(place, Axes) else place
    if text:
        describe(figure, text)
    return figure


def _pair(axes: Any) -> tuple[Axes, Axes]:
    try:
        main, ratio = axes
    except TypeError as error:
        raise FigureError("two axes are needed, (main, ratio); pass a pair, or nothing") from error
    return main, ratio


def save_figure(
    figure: Figure, path: str | Path, *, formats: Sequence[str] = ("png", "pdf"), dpi: float = 200
) -> tuple[Path, ...]:
    """Write a figure in several formats; an interrupted write leaves an older file as it was.

    Parameters
    ----------
    figure
    path
        File name without suffix; folders are made.
    formats
        Of ``"png"``, ``"pdf"``, ``"svg"``.
    dpi
        Dots per inch of the PNG.

    Returns
    -------
    tuple of Path
        The files, in the order of ``formats``. They hold no date: same figure, same bytes.

    Raises
    ------
    FigureError
        For an unknown format.
    DataFileError
        For a path that cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from omnilearn_lab.plotting import loss_curves
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = save_figure(loss_curves({"scratch": ([1, 2], [0.5, 0.4])}), f"{folder}/loss")
    ...     [file.name for file in files]
    ['loss.png', 'loss.pdf']
    """
    unknown = [name for name in formats if name not in _FORMATS]
    if unknown or not formats:
        raise FigureError(f"formats {list(formats)} are not all known; choose from {', '.join(_FORMATS)}")
    layout, written = figure.get_layout_engine(), []
    for name in formats:
        written.append(_save_one(figure, Path(f"{path}.{name}"), name, dpi))
        figure.set_layout_engine("none")  # it took half of the time, and is the same for all formats
    figure.set_layout_engine(layout or "none")
    return tuple(written)


def _save_one(figure: Figure, path: Path, name: str, dpi: float) -> Path:
    alt_text = getattr(figure, "alt_text", "figure")
    metadata = {
        "png": {"Software": None, "Description": alt_text},
        "pdf": {"CreationDate": None, "Subject": alt_text},
        "svg": {"Date": None, "Description": alt_text},
    }[name]
    make_folder(path.parent)
    with atomic_path(path) as temporary, house_style():
        figure.savefig(temporary, format=name, dpi=dpi, metadata=metadata)
    return path
