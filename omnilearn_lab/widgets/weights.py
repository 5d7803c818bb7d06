"""Look at reweighted and unfolded observables one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from omnilearn_lab import plotting
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.metrics import weighted_hist
from omnilearn_lab.plotting.distributions import unfolding_steps
from omnilearn_lab.plotting.figure import PaperFigure
from omnilearn_lab.widgets.view import FigureView, PlayedView, dropdown, slider, toggle

_ALL, _MILLISECONDS = "all", 900


class ReweightingExplorer(FigureView):
    """Target, nominal sample and reweighted sample: choose observable, method, seed and scale.

    Parameters
    ----------
    target, nominal : mapping of observable to array, shape (N,) and (M,)
    weights : mapping of method to array, shape (M,) or (seeds, M)
        Of the nominal jets.
    edges : mapping of observable to array, shape (K + 1,)
        Bins, and which observables are offered.
    source
        What the data are, for the label above the axes.

    Raises
    ------
    ConfigError
        For no weights, or an observable that a sample does not have.

    Examples
    --------
    >>> view = ReweightingExplorer({"mass": [20.0, 30.0]}, {"mass": [20.0, 30.0, 30.0]},
    ...                            weights={"fine-tuned": np.array([2.0, 1.0, 1.0])},
    ...                            edges={"mass": [0, 25, 50]})
    >>> view.set(log=True)
    >>> "target" in view.summary
    True
    """

    def __init__(
        self,
        target: Mapping[str, Any],
        nominal: Mapping[str, Any],
        *,
        weights: Mapping[str, Any],
        edges: Mapping[str, Any],
        source: str | None = None,
    ) -> None:
        _check((target, nominal), edges, weights)
        self.target, self.nominal, self.source = target, nominal, source
        self.weights = {method: np.atleast_2d(w) for method, w in weights.items()}
        self.axes = plotting.observable_axes(edges)
        n_seeds = max(len(w) for w in self.weights.values())
        seeds = [("all", -1), *((str(i + 1), i) for i in range(n_seeds))]
        super().__init__(
            observable=dropdown("observable", list(edges), "what is histogrammed"),
            method=dropdown("weights", [_ALL, *self.weights], "which weights to show"),
            seed=dropdown("training", seeds, "one training, or mean and spread of all"),
            log=toggle("log scale", "logarithmic vertical axis"),
        )

    def figure(self) -> PaperFigure:
        """Return the comparison for the present choice."""
        name, method, seed = (self.value(key) for key in ("observable", "method", "seed"))
        chosen = self.weights if method == _ALL else {method: self.weights[method]}
        rows = {key: w if seed < 0 else w[min(seed, len(w) - 1)] for key, w in chosen.items()}
        samples = self.target[name], self.nominal[name], self.axes[name]
        options = replace(plotting.COMPARISON, log_y=self.value("log"))
        return plotting.reweighting_comparison(*samples, weights=rows, options=options, source=self.source)


class UnfoldingExplorer(PlayedView):
    """Truth, simulation and unfolded results: choose observable, iteration, method and scale, or play.

    Without a kernel the iterations stand side by side.

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

    same_layout = ("iteration",)

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
        _check((truth, prior), edges, weights)
        self.truth, self.prior, self.weights, self.binned = truth, prior, weights, dict(binned or {})
        self.axes, self.source = plotting.observable_axes(edges), source
        last = max(len(w) for by_name in weights.values() for w in by_name.values())
        methods = [*weights, *self.binned]
        iteration = slider("iteration", last, (0, last, 1), "after how many iterations; 0: the simulation")
        super().__init__(
            "iteration",
            _MILLISECONDS,
            "watch the iterations",
            observable=dropdown("observable", list(edges), "what is histogrammed"),
            iteration=iteration,
            method=dropdown("method", [_ALL, *methods], "which results to show"),
            log=toggle("log scale", "logarithmic vertical axis"),
        )

    def figure(self) -> PaperFigure:
        """Return the comparison for the present choice."""
        samples, options = self._at(self.value("iteration"))
        axis = self.axes[self.value("observable")]
        return plotting.unfolding_comparison(samples, axis, options=options, source=self.source)

    def frames(self) -> PaperFigure:
        """Return the iterations side by side, from the simulation on."""
        axis, last = self.axes[self.value("observable")], self.controls["iteration"].max
        return unfolding_steps({f"iteration {i}": self._at(i) for i in range(last + 1)}, axis, self.source)

    def _at(self, iteration: int) -> tuple[dict[str, Any], plotting.HistogramOptions]:
        """Return samples and looks after so many iterations, or a method's last where it has fewer."""
        name, method = self.value("observable"), self.value("method")
        shown = [m for m in (*self.weights, *self.binned) if method in (_ALL, m)]
        samples = {"truth": self.truth[name], "simulation": self.prior[name]}
        weights = {}
        for label in shown if iteration else ():
            steps = (self.binned if label in self.binned else self.weights)[label][name]
            step = steps[min(iteration, len(steps)) - 1]
            counts = weighted_hist(self.axes[name].edges, step, step) if label in self.binned else None
            samples[label] = self.prior[name] if counts is None else counts
            weights |= {} if label in self.binned else {label: step}
        return samples, replace(plotting.COMPARISON, log_y=self.value("log"), weights=weights)


def _check(
    samples: Sequence[Mapping[str, Any]], edges: Mapping[str, Any], weights: Mapping[str, Any]
) -> None:
    missing = [name for name in edges if not all(name in sample for sample in samples)]
    if missing or not weights or not edges:
        raise ConfigError(f"weights and edges must not be empty, and both samples need {missing or edges}")
