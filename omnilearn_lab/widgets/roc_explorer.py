"""Move a classifier's working point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omnilearn_lab.display import html_table
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.plotting import PaperFigure, working_point, working_point_figure
from omnilearn_lab.widgets.controls import dropdown, slider
from omnilearn_lab.widgets.view import FigureView

__all__ = ["RocExplorer"]


class RocExplorer(FigureView):
    """Choose a signal efficiency: see threshold, rejection with its uncertainty, and what passes.

    Parameters
    ----------
    scores : mapping of str to sequence of (scores, labels)
        One pair per seed for each classifier, as for `omnilearn_lab.plotting.roc_curves`;
        `omnilearn_lab.tasks.Comparison.scores` gives such a sequence.
    names
        Of the classes 0 and 1.
    source
        What the data are.

    Raises
    ------
    ConfigError
        When there are no scores.

    Examples
    --------
    >>> view = RocExplorer({"tagger": [([0.1, 0.4, 0.35, 0.8] * 20, [0, 0, 1, 1] * 20)]})
    >>> view.set(efficiency=0.5)
    >>> view.summary[-39:]
    'threshold is 0.8 and rejection > 13.86.'
    """

    def __init__(
        self,
        scores: Mapping[str, Any],
        *,
        names: tuple[str, str] = ("background", "signal"),
        source: str | None = None,
    ) -> None:
        if not scores or not all(len(runs) for runs in scores.values()):
            raise ConfigError("no scores to explore; pass {name: [(scores, labels), ...]}")
        self.scores, self.names, self.source = dict(scores), names, source
        n_seeds = max(len(runs) for runs in scores.values())
        super().__init__(
            {
                "classifier": dropdown("classifier", list(scores), "whose scores"),
                "run": dropdown("training", [(f"number {i + 1}", i) for i in range(n_seeds)], "which seed"),
                "efficiency": slider(
                    "signal eff.", 0.5, (0.05, 0.99, 0.01), "fraction of the signal that passes the cut"
                ),
            }
        )

    def figure(self) -> PaperFigure:
        """Return rejection curve and score distributions with the cut."""
        return working_point_figure(
            *self._chosen(),
            self.value("efficiency"),
            names=self.names,
            label=self.value("classifier"),
            source=self.source,
        )

    def details(self) -> str:
        """Return the numbers of jets that pass and fail, as a table."""
        point = working_point(*self._chosen(), self.value("efficiency"))
        background, signal = self.names
        rows = [
            ("", "passes", "fails"),
            (signal, f"{point.n_signal_passed:,}", f"{point.n_signal_failed:,}"),
            (background, f"{point.n_background_passed:,}", f"{point.n_background_failed:,}"),
        ]
        return html_table(rows)

    def _chosen(self) -> tuple[Any, Any]:
        runs = self.scores[self.value("classifier")]
        return runs[min(self.value("run"), len(runs) - 1)][:2]
