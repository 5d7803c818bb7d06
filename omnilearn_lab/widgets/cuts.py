"""Move a cut on a score: what passes, and what it does to a mass spectrum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from omnilearn_lab import plotting
from omnilearn_lab.display import html_table
from omnilearn_lab.errors import ConfigError, MetricError
from omnilearn_lab.metrics import RocCurve, SicCurve, sic_curve
from omnilearn_lab.plotting.figure import PaperFigure
from omnilearn_lab.plotting.scores import move_working_point, working_point
from omnilearn_lab.tasks.search.mass_fits import BumpHunt, MassFit, bump_hunt
from omnilearn_lab.widgets.view import FigureView, dropdown, slider, steps


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

    moved_by = ("efficiency",)

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
            classifier=dropdown("classifier", list(scores), "whose scores"),
            run=dropdown("training", [(f"number {i + 1}", i) for i in range(n_seeds)], "which seed"),
            efficiency=slider(
                "signal eff.", 0.5, (0.05, 0.99, 0.01), "fraction of the signal that passes the cut"
            ),
        )

    def figure(self) -> PaperFigure:
        """Return rejection curve and score distributions with the cut."""
        at, label = (self.value(key) for key in ("efficiency", "classifier"))
        look = {"names": self.names, "label": label, "source": self.source}
        return plotting.working_point_figure(*self._chosen(), at, **look)

    def move(self, figure: PaperFigure) -> None:
        """Move the cut."""
        move_working_point(figure, *self._chosen(), self.value("efficiency"))

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


_KEPT = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01)


class ScoredEvents(NamedTuple):
    """Events of one injection.

    Attributes
    ----------
    masses : array, shape (N,)
        [GeV].
    scores : array, shape (N,)
        A larger score is more anomalous.
    curve : RocCurve
        Signal against background, from events with known labels.
    """

    masses: np.ndarray
    scores: np.ndarray
    curve: RocCurve


class SicExplorer(FigureView):
    """Choose the injected signal and the share of events to keep; see the spectrum with its fit, or the SIC.

    Parameters
    ----------
    samples : mapping of injected events to ScoredEvents
    signal_region
        [GeV].
    fit : MassFit, optional
    x_label
        Of the mass.
    source
        What the data are.

    Raises
    ------
    ConfigError
        Without samples.

    Examples
    --------
    >>> from omnilearn_lab.metrics import roc
    >>> rng = np.random.default_rng(1)
    >>> events = ScoredEvents(2300 + rng.exponential(500, 3000), rng.random(3000),
    ...                       roc(rng.random(200), np.arange(200) % 2 == 0))
    >>> view = SicExplorer({0: events}, (3300, 3700), fit=MassFit(function="log_polynomial2"))
    >>> view.set(kept=0.3)
    >>> view.hunt().observed + view.hunt().counts[~((view.hunt().edges[:-1] >= 3300) &
    ...     (view.hunt().edges[1:] <= 3700))].sum() <= 900
    True
    """

    same_layout = ("injected", "kept")

    def __init__(
        self,
        samples: Mapping[int, ScoredEvents],
        signal_region: tuple[float, float],
        *,
        fit: MassFit | None = None,
        x_label: str = "Dijet mass [GeV]",
        source: str | None = None,
    ) -> None:
        if not samples:
            raise ConfigError("there is nothing to explore: give the scored events of at least one injection")
        self.samples, self.signal_region = dict(samples), signal_region
        self.fit, self.x_label, self.source = fit or MassFit(), x_label, source
        shares = [(f"{share:.0%}", share) for share in _KEPT]
        super().__init__(
            injected=steps("injected", sorted(self.samples), "signal events among the data"),
            kept=steps("keep", shares, "share of events with the highest scores"),
            show=dropdown("show", ["spectrum", "SIC curve"], "what to draw"),
        )

    def hunt(self) -> BumpHunt:
        """Return the bump hunt at the present choice.

        Raises
        ------
        MetricError
            When the cut leaves too few events beside the window.
        """
        masses, scores, _ = self.samples[self.value("injected")]
        n = max(1, round(self.value("kept") * len(masses)))
        chosen = np.argsort(-np.asarray(scores), kind="stable")[:n]
        return bump_hunt(np.asarray(masses)[chosen], self.signal_region, self.fit)

    def figure(self) -> PaperFigure:
        """Return the spectrum with its fit, or the SIC curves of all injections."""
        if self.value("show") == "SIC curve":
            curves = {f"{n} injected": [sample.curve] for n, sample in self.samples.items()}
            return plotting.sic_curves(curves, source=self.source)
        try:
            hunt = self.hunt()
        except MetricError as error:
            figure = PaperFigure(figsize=(6.4, 3.0))
            figure.text(0.5, 0.5, "too few events beside the window for a fit", ha="center")
            figure.alt_text = str(error)
            return figure
        label = f"{self.value('injected')} injected, {self.value('kept'):.0%} kept"
        return plotting.mass_spectrum({label: hunt}, x_label=self.x_label, source=self.source)

    def details(self) -> str:
        """Return the working point of the largest SIC."""
        try:
            best: SicCurve = sic_curve(self.samples[self.value("injected")].curve)
        except MetricError:
            return "<p>Too few labelled background events for a significance improvement.</p>"
        i = int(np.argmax(best.significance_improvement))
        return (
            f"<p>Largest significance improvement {best.significance_improvement[i]:.2f} "
            f"at background efficiency {best.background_efficiency[i]:.3g}.</p>"
        )
