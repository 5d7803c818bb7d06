"""Classifier outputs: distributions, what is mistaken for what, whether probabilities are honest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from omnilearn_lab.errors import FigureError
from omnilearn_lab.metrics import CalibrationCurve, ConfusionMatrix, Rejection, calibration_curve, roc
from omnilearn_lab.plotting.classification import rejection_vs_efficiency
from omnilearn_lab.plotting.data import Column, Table, attach_data
from omnilearn_lab.plotting.distributions import HistogramOptions, observable_distributions
from omnilearn_lab.plotting.figure import MOVING, PaperFigure, describe, finish, named, new_axes
from omnilearn_lab.plotting.histograms import HistogramAxis
from omnilearn_lab.plotting.style import PALETTE, in_house_style, line_look

_SCORE_BINS = np.linspace(0, 1, 41)
_MARKERS = "osD^vP"
_WHITE_ABOVE = 0.55


def score_histograms(
    scores: Mapping[str, Any],
    *,
    edges: Any = None,
    label: str = "Classifier score",
    options: HistogramOptions | None = None,
    source: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Distribution of a classifier's score for each true class.

    Parameters
    ----------
    scores : mapping of class name to scores, shape (N,), or histograms
    edges : array, shape (K + 1,), optional
        Bin edges; 40 bins between 0 and 1 by default.
    label
        Axis title.
    options
        Weights and looks; logarithmic by default.
    source, ax
        As in `omnilearn_lab.plotting.loss_curves`.

    Returns
    -------
    Figure
        One table per class.

    Raises
    ------
    FigureError
        As `omnilearn_lab.plotting.observable_distributions`.

    Examples
    --------
    >>> score_histograms({"QCD": [0.1, 0.2, 0.4], "top": [0.7, 0.9]})
    <figure: Distribution of Classifier score: QCD (3 entries), top (2 entries).>
    """
    axis = HistogramAxis(label, _SCORE_BINS if edges is None else edges)
    options = options or HistogramOptions(log_y=True)
    return observable_distributions(scores, axis, options=options, source=source, ax=ax)


@in_house_style
def confusion_matrix(
    matrix: ConfusionMatrix | Any,
    *,
    class_names: Sequence[str] = (),
    source: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Fraction of each true class (row) that is given each label (column).

    Parameters
    ----------
    matrix : ConfusionMatrix, or array, shape (C, C)
        Jet counts or sums of weights; rows are normalised here.
    class_names
        Names of the classes; not needed with a `omnilearn_lab.metrics.ConfusionMatrix`.
    source, ax
        As in `omnilearn_lab.plotting.loss_curves`.

    Returns
    -------
    Figure
        Table ``confusion matrix``: fractions and counts by true and predicted class.

    Raises
    ------
    FigureError
        For a matrix that is empty, not square or negative, or names that do not fit.

    Examples
    --------
    >>> confusion_matrix([[8, 2], [1, 9]], class_names=["QCD", "top"])
    <figure: Confusion matrix. Right: QCD 80%, top 90%.>
    """
    matrix = matrix if isinstance(matrix, ConfusionMatrix) else _matrix(matrix, class_names)
    names, fractions = matrix.class_names, matrix.fractions
    size = max(4.8, 0.62 * len(names) + 1.8)
    figure, ax = new_axes(ax, width=size + 0.9, height=size)
    image = ax.imshow(fractions, vmin=0, vmax=1, cmap="Blues")
    for (row, column), fraction in np.ndenumerate(fractions):
        color = "white" if fraction > _WHITE_ABOVE else "black"
        ax.text(column, row, f"{fraction:.2f}", ha="center", va="center", color=color, fontsize=9)
    rotation, side = (45, "right") if len(names) > 3 else (0, "center")
    ax.set_xticks(range(len(names)), names, rotation=rotation, rotation_mode="anchor", ha=side)
    ax.set_yticks(range(len(names)), names)
    ax.minorticks_off()
    ax.tick_params(length=0)
    ax.set(xlabel="Predicted class", ylabel="True class")
    ax.get_figure(root=False).colorbar(image, ax=ax, label="Fraction of the true class", pad=0.02)
    attach_data(figure, _matrix_table(matrix))
    right = ", ".join(f"{n} {100 * f:.0f}%" for n, f in zip(names, np.diag(fractions), strict=True))
    return finish(ax, f"Confusion matrix. Right: {right}.", source)


@in_house_style
def calibration(
    predictions: Mapping[str, Any], *, n_bins: int = 10, source: str | None = None, ax: Axes | None = None
) -> Figure:
    """Observed frequency against predicted probability; on the diagonal, probabilities mean what they say.

    Parameters
    ----------
    predictions : mapping of label to (probabilities, labels) or (probabilities, labels, weights)
        As for `omnilearn_lab.metrics.calibration_curve`, or its result.
    n_bins
        Equal bins of the prediction.
    source, ax
        As in `omnilearn_lab.plotting.loss_curves`.

    Returns
    -------
    Figure
        One table per label with errors by Wilson's interval; empty bins are left out.

    Raises
    ------
    FigureError, MetricError
        For empty input, or values that are no probabilities.

    Examples
    --------
    >>> calibration({"ours": ([0.1, 0.1, 0.9, 0.9], [0, 0, 1, 0])}, n_bins=2)
    <figure: Calibration. Expected calibration error: ours 0.250.>
    """
    figure, ax = new_axes(ax, width=5.6, height=5.2)
    errors = []
    ax.plot([0, 1], [0, 1], color="0.6", linestyle=":", linewidth=1)
    for i, (label, value) in enumerate(named(predictions, "predictions")):
        curve = value if isinstance(value, CalibrationCurve) else _calibration(value, n_bins)
        error = curve.expected_calibration_error
        _draw_calibration(ax, curve, i, f"{label} (ECE {error:.3f})")
        attach_data(figure, _calibration_table(label, curve))
        errors.append(f"{label} {error:.3f}")
    ax.set(xlabel="Predicted probability", ylabel="Observed fraction", xlim=(0, 1), ylim=(0, 1))
    ax.legend(loc="upper left")
    return finish(ax, f"Calibration. Expected calibration error: {', '.join(errors)}.", source)


class WorkingPoint(NamedTuple):
    """What a cut on a score keeps.

    Attributes
    ----------
    threshold
        Jets with a score at or above it pass.
    rejection : Rejection
        With the signal efficiency asked for and the uncertainty.
    n_signal_passed, n_signal_failed, n_background_passed, n_background_failed
        Numbers of jets (not of their weights).
    """

    threshold: float
    rejection: Rejection
    n_signal_passed: int
    n_signal_failed: int
    n_background_passed: int
    n_background_failed: int


def working_point(scores: Any, labels: Any, signal_efficiency: float) -> WorkingPoint:
    """Find the tightest cut that keeps at least a fraction of the signal, and count what passes.

    Parameters
    ----------
    scores, labels : array, shape (N,)
        As for `omnilearn_lab.metrics.roc`; label 1 is signal.
    signal_efficiency
        Between 0 and 1.

    Returns
    -------
    WorkingPoint

    Raises
    ------
    MetricError
        As `omnilearn_lab.metrics.roc`.

    Examples
    --------
    >>> point = working_point([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], 0.5)
    >>> point.threshold, point.n_signal_passed, point.n_background_passed
    (0.8, 1, 0)
    """
    curve = roc(scores, labels)
    rejection = curve.rejection(signal_efficiency)
    threshold = curve.thresholds[np.searchsorted(curve.signal_efficiency, signal_efficiency)]
    is_signal, passes = np.asarray(labels) == 1, np.asarray(scores) >= threshold
    counts = [int(np.sum(a & b)) for a in (is_signal, ~is_signal) for b in (passes, ~passes)]
    return WorkingPoint(float(threshold), rejection, *counts)


@in_house_style
def working_point_figure(
    scores: Any,
    labels: Any,
    signal_efficiency: float,
    *,
    names: tuple[str, str] = ("background", "signal"),
    label: str = "classifier",
    source: str | None = None,
) -> Figure:
    """Background rejection against signal efficiency and the score's distributions, with the cut in both.

    Parameters
    ----------
    scores, labels : array, shape (N,)
    signal_efficiency
        Where to cut.
    names
        Of the classes 0 and 1.
    label
        Of the classifier.
    source
        As in `omnilearn_lab.plotting.loss_curves`.

    Returns
    -------
    Figure

    Raises
    ------
    FigureError
        For a signal efficiency outside (0, 1).
    MetricError
        As `omnilearn_lab.metrics.roc`.

    Examples
    --------
    >>> figure = working_point_figure([0.1, 0.4, 0.35, 0.8] * 20, [0, 0, 1, 1] * 20, 0.5)
    >>> figure.alt_text[-68:]
    'At signal efficiency 0.5 the threshold is 0.8 and rejection > 13.86.'
    """
    if not 0 < signal_efficiency < 1:
        raise FigureError(f"signal_efficiency is {signal_efficiency}; choose one between 0 and 1")
    point = working_point(scores, labels, signal_efficiency)
    figure = PaperFigure(figsize=(11.5, 4.8))
    left, right = figure.subplots(1, 2)
    rejection_vs_efficiency({label: (scores, labels)}, source=source, ax=left)
    look = {"color": PALETTE[1], "gid": MOVING}
    left.plot(signal_efficiency, point.rejection.value, "o", markersize=9, zorder=5, **look)
    left.axvline(signal_efficiency, linestyle=":", **look)
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=float)
    by_class = {name: scores[labels == i] for i, name in enumerate(names)}
    score_histograms(by_class, source=source, edges=_edges(scores), ax=right)
    right.axvline(_drawable(point.threshold), linestyle=":", label="threshold", **look)
    describe(figure, _working_point_text(point))
    return figure


def move_working_point(figure: PaperFigure, scores: Any, labels: Any, signal_efficiency: float) -> None:
    """Move the cut of a `working_point_figure` of the same scores, and its text."""
    point = working_point(scores, labels, signal_efficiency)
    marker, at_efficiency, at_threshold = figure.findobj(lambda artist: artist.get_gid() == MOVING)
    marker.set_data([signal_efficiency], [point.rejection.value])
    for line, x in ((at_efficiency, signal_efficiency), (at_threshold, _drawable(point.threshold))):
        line.set_xdata([x, x])
    about, _, _ = figure.alt_text.partition("At signal efficiency")
    figure.alt_text = about + _working_point_text(point)


def _drawable(threshold: float) -> float:
    """Return a threshold, or not-a-number, which is not drawn, where nothing passes."""
    return threshold if np.isfinite(threshold) else np.nan


def _working_point_text(point: WorkingPoint) -> str:
    efficiency = point.rejection.signal_efficiency
    sentence = f"At signal efficiency {efficiency:g} the threshold is {point.threshold:.3g}"
    return f"{sentence} and rejection {point.rejection}."


@in_house_style
def embedding_map(
    points: Any,
    labels: Any,
    *,
    class_names: Sequence[str] = (),
    crosses: Any = None,
    source: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Jets as a network sees them: two numbers for each, coloured by class.

    Parameters
    ----------
    points : array, shape (N, 2)
        Such as the first two principal axes of the embedding.
    labels : array, shape (N,)
        Class numbers.
    class_names
        Names of the classes.
    crosses : bool array, shape (N,), optional
        Jets to mark with a cross, such as the misclassified ones.
    source, ax
        As in `omnilearn_lab.plotting.loss_curves`.

    Returns
    -------
    Figure
        Table ``map``.

    Raises
    ------
    FigureError
        For shapes that do not fit, or values that are not finite.

    Examples
    --------
    >>> embedding_map([[0.0, 1.0], [2.0, 0.5]], [0, 1], class_names=["QCD", "top"])
    <figure: Map of 2 jets: QCD 1, top 1.>
    """
    place, numbers = np.asarray(points, dtype=float), np.asarray(labels)
    marked = np.zeros(len(place), bool) if crosses is None else np.asarray(crosses, dtype=bool)
    if place.ndim != 2 or place.shape[1] != 2 or not len(place) == len(numbers) == len(marked) > 0:
        raise FigureError(
            f"points have shape {place.shape}, labels {numbers.shape}; (N, 2) and (N,) with N > 0 are needed"
        )
    if not np.isfinite(place).all():
        raise FigureError("the map holds points that are not finite; look at the network that made them")
    figure, ax = new_axes(ax, width=6.0, height=5.2)
    counts = {}
    for number in np.unique(numbers):
        rows, name = numbers == number, class_names[number] if class_names else f"class {number}"
        counts[name] = int(rows.sum())
        look = {"color": line_look(int(number)).color, "alpha": 0.5, "linewidths": 0}
        ax.scatter(*place[rows].T, s=12, label=f"{name} ({rows.sum():,})", **look)
    if marked.any():
        look = {"color": "black", "linewidths": 0.7, "label": f"misclassified ({marked.sum():,})"}
        ax.scatter(*place[marked].T, s=22, marker="x", **look)
    ax.scatter([], [], s=150, facecolors="none", edgecolors="black", linewidths=1.8, gid=MOVING)
    ax.set(xlabel="First principal axis", ylabel="Second principal axis")
    ax.legend(loc="best", markerscale=1.4, fontsize=9)
    columns = (Column("x", place[:, 0]), Column("y", place[:, 1]))
    attach_data(figure, Table("map", columns, (Column("class", numbers), Column("crossed", marked))))
    about = ", ".join(f"{name} {n:,}" for name, n in counts.items())
    return finish(ax, f"Map of {len(place):,} jets: {about}.", source)


def move_mark(figure: PaperFigure, point: Any) -> None:
    """Put the ring of an `embedding_map` on a point."""
    for ring in figure.findobj(lambda artist: artist.get_gid() == MOVING):
        ring.set_offsets([point])


def _matrix(values: Any, class_names: Sequence[str]) -> ConfusionMatrix:
    counts = np.asarray(values, dtype=float)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise FigureError(f"the confusion matrix has shape {counts.shape}; (C, C) is needed")
    if not np.isfinite(counts).all() or counts.min() < 0:
        raise FigureError("the confusion matrix holds negative counts or not-a-number")
    names = tuple(class_names) or tuple(f"class {i}" for i in range(len(counts)))
    if len(names) != len(counts):
        raise FigureError(f"{len(names)} class names for a confusion matrix of {len(counts)} classes")
    return ConfusionMatrix(counts, names)


def _matrix_table(matrix: ConfusionMatrix) -> Table:
    n, names = len(matrix.class_names), np.array(matrix.class_names)
    classes = (Column("True class", np.repeat(names, n)), Column("Predicted class", np.tile(names, n)))
    values = (Column("Fraction", matrix.fractions.ravel()), Column("Jets", matrix.counts.ravel()))
    return Table("confusion matrix", classes, values, "rows (true classes) normalised to one")


def _calibration(value: Any, n_bins: int) -> CalibrationCurve:
    if not isinstance(value, tuple | list) or len(value) not in (2, 3):
        raise FigureError("a prediction must be (probabilities, labels) or (probabilities, labels, weights)")
    return calibration_curve(value[0], value[1], weights=value[2] if len(value) == 3 else None, n_bins=n_bins)


def _draw_calibration(ax: Axes, curve: CalibrationCurve, index: int, label: str) -> None:
    look, filled = line_look(index), np.isfinite(curve.predicted)
    x, y, error = (values[filled] for values in (curve.predicted, curve.observed, curve.uncertainty))
    ax.errorbar(x, y, yerr=error, marker=_MARKERS[index % len(_MARKERS)], label=label, **look._asdict())


def _calibration_table(label: str, curve: CalibrationCurve) -> Table:
    filled = np.isfinite(curve.predicted)
    observed = "Observed fraction", curve.observed[filled], {"stat": curve.uncertainty[filled]}
    others = ("Predicted probability", curve.predicted[filled]), ("Fraction of jets", curve.fraction[filled])
    note = f"expected calibration error {curve.expected_calibration_error:.6g}"
    return Table.of(label, others[0], observed, others[1], note=note)


def _edges(scores: np.ndarray) -> np.ndarray:
    low, high = float(scores.min()), float(scores.max())
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    return np.linspace(low, high if high > low else low + 1, 41)
