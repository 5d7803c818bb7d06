"""Look at reweighted observables one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.plotting import COMPARISON, PaperFigure, observable_axes, reweighting_comparison
from omnilearn_lab.widgets.controls import dropdown, toggle
from omnilearn_lab.widgets.view import FigureView

__all__ = ["ReweightingExplorer"]

_ALL = "all"


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
        missing = [name for name in edges if name not in target or name not in nominal]
        if missing or not weights or not edges:
            raise ConfigError(
                f"weights and edges must not be empty, and both samples need {missing or edges}"
            )
        self.target, self.nominal, self.source = target, nominal, source
        self.weights = {method: np.atleast_2d(w) for method, w in weights.items()}
        self.axes = observable_axes(edges)
        n_seeds = max(len(w) for w in self.weights.values())
        seeds = [("all", -1), *((str(i + 1), i) for i in range(n_seeds))]
        super().__init__(
            {
                "observable": dropdown("observable", list(edges), "what is histogrammed"),
                "method": dropdown("weights", [_ALL, *self.weights], "which weights to show"),
                "seed": dropdown("training", seeds, "one training, or mean and spread of all"),
                "log": toggle("log scale", "logarithmic vertical axis"),
            }
        )

    def figure(self) -> PaperFigure:
        """Return the comparison for the present choice."""
        name, method, seed = (self.value(key) for key in ("observable", "method", "seed"))
        chosen = self.weights if method == _ALL else {method: self.weights[method]}
        rows = {key: w if seed < 0 else w[min(seed, len(w) - 1)] for key, w in chosen.items()}
        return reweighting_comparison(
            self.target[name],
            self.nominal[name],
            self.axes[name],
            weights=rows,
            options=replace(COMPARISON, log_y=self.value("log")),
            source=self.source,
        )
