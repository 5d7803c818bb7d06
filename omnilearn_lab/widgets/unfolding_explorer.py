"""Look at an unfolding iteration by iteration, observable by observable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import hist
import numpy as np

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.plotting import COMPARISON, PaperFigure, observable_axes, unfolding_comparison
from omnilearn_lab.widgets.controls import dropdown, slider, toggle
from omnilearn_lab.widgets.view import FigureView

__all__ = ["UnfoldingExplorer"]

_ALL = "all"


class UnfoldingExplorer(FigureView):
    """Truth, simulation and unfolded results: choose observable, iteration, method and scale.

    `omnilearn_lab.tasks.UnfoldingComparison.explorer` gives the arguments.

    Parameters
    ----------
    truth, prior : mapping of observable to array, shape (M,) and (N,)
        Hidden truth of the data, and particle level of the simulation.
    edges : mapping of observable to array, shape (K + 1,)
    weights : mapping of method to {observable: array, shape (iterations, seeds, N)}
        Unbinned results.
    binned : mapping of method to {observable: array, shape (iterations, K)}
        Binned results.
    source
        What the data are, for the label above the axes.

    Raises
    ------
    ConfigError
        For an observable that truth or prior lack.

    Examples
    --------
    >>> view = UnfoldingExplorer({"mass": [20.0, 30.0]}, {"mass": [20.0, 30.0]}, edges={"mass": [0, 25, 50]},
    ...                          weights={"OmniFold": {"mass": np.ones((2, 1, 2))}})
    >>> view.value("iteration")
    2
    """

    def __init__(
        self,
        truth: Mapping[str, Any],
        prior: Mapping[str, Any],
        *,
        edges: Mapping[str, Any],
        weights: Mapping[str, Mapping[str, np.ndarray]],
        binned: Mapping[str, Mapping[str, np.ndarray]] | None = None,
        source: str | None = None,
    ) -> None:
        missing = [name for name in edges if name not in truth or name not in prior]
        if missing or not weights or not edges:
            raise ConfigError(
                f"weights and edges must not be empty, and truth and prior need {missing or edges}"
            )
        self.truth, self.prior, self.weights, self.binned = truth, prior, weights, dict(binned or {})
        self.axes, self.source = observable_axes(edges), source
        last = max(len(w) for by_name in weights.values() for w in by_name.values())
        methods = [*weights, *self.binned]
        super().__init__(
            {
                "observable": dropdown("observable", list(edges), "what is histogrammed"),
                "iteration": slider("iteration", last, (1, max(last, 2), 1), "after how many iterations"),
                "method": dropdown("method", [_ALL, *methods], "which results to show"),
                "log": toggle("log scale", "logarithmic vertical axis"),
            }
        )

    def figure(self) -> PaperFigure:
        """Return the comparison for the present choice."""
        name, method = self.value("observable"), self.value("method")
        shown = [m for m in (*self.weights, *self.binned) if method in (_ALL, m)]
        samples = {"truth": self.truth[name], "simulation": self.prior[name]}
        weights = {}
        for label in shown:
            if label in self.binned:
                samples[label] = self._histogram(label, name)
            else:
                samples[label] = self.prior[name]
                weights[label] = self._at(self.weights[label][name])
        options = replace(COMPARISON, log_y=self.value("log"), weights=weights)
        return unfolding_comparison(samples, self.axes[name], options=options, source=self.source)

    def _at(self, steps: np.ndarray) -> np.ndarray:
        """The chosen iteration, or the last where a method has fewer."""
        return steps[min(self.value("iteration"), len(steps)) - 1]

    def _histogram(self, method: str, name: str) -> hist.Hist:
        filled = hist.Hist(hist.axis.Variable(self.axes[name].edges), storage=hist.storage.Weight())
        counts = self._at(self.binned[method][name])
        filled.view()["value"], filled.view()["variance"] = counts, counts
        return filled
