"""A classifier at one working point: where it lies on the curve, and what it does to the scores."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from omnilearn_lab.errors import FigureError
from omnilearn_lab.metrics import Rejection, roc
from omnilearn_lab.plotting.classification import rejection_vs_efficiency
from omnilearn_lab.plotting.figure import PaperFigure, describe
from omnilearn_lab.plotting.scores import score_histograms
from omnilearn_lab.plotting.style import PALETTE, in_house_style

__all__ = ["WorkingPoint", "working_point", "working_point_figure"]


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
    left.plot(signal_efficiency, point.rejection.value, "o", color=PALETTE[1], markersize=9, zorder=5)
    left.axvline(signal_efficiency, color=PALETTE[1], linestyle=":")
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=float)
    by_class = {name: scores[labels == i] for i, name in enumerate(names)}
    score_histograms(by_class, source=source, edges=_edges(scores), ax=right)
    if np.isfinite(point.threshold):
        right.axvline(point.threshold, color=PALETTE[1], linestyle=":", label="threshold")
    sentence = f"At signal efficiency {signal_efficiency:g} the threshold is {point.threshold:.3g}"
    describe(figure, f"{sentence} and rejection {point.rejection}.")
    return figure


def _edges(scores: np.ndarray) -> np.ndarray:
    low, high = float(scores.min()), float(scores.max())
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    return np.linspace(low, high if high > low else low + 1, 41)
