"""Compare the validation losses of several ways of training, seed by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.plotting import PaperFigure, loss_curves
from omnilearn_lab.training import History
from omnilearn_lab.widgets.controls import dropdown, slider, toggle
from omnilearn_lab.widgets.view import FigureView

__all__ = ["LossComparison"]

_AXES = {"epoch": "epochs", "step": "steps", "jets seen": "jets", "seconds": "seconds"}


class LossComparison(FigureView):
    """Validation losses of scratch and pretrained training: choose seeds, axis, scale and smoothing.

    Parameters
    ----------
    histories : mapping of str to sequence of History
        One history per seed for each kind of training; `omnilearn_lab.tasks.Comparison.histories`
        gives them.
    baseline
        The kind whose best loss is the mark to reach.
    seeds : sequence of int, optional
        Names of the seeds; 1, 2, 3, ... when left out.

    Raises
    ------
    ConfigError
        When there is nothing to compare, or the baseline is not among the histories.

    Examples
    --------
    >>> from omnilearn_lab.training import History
    >>> def curve(*losses):
    ...     rows = [{"kind": "validation", "epoch": i, "loss": loss} for i, loss in enumerate(losses)]
    ...     return History(rows)
    >>> view = LossComparison({"scratch": [curve(0.7, 0.5, 0.4)], "fine-tuned": [curve(0.7, 0.3, 0.2)]})
    >>> view.summary
    'Validation loss against epoch: ... The best loss of scratch is 0.4; fine-tuned reaches it at 1.'
    """

    def __init__(
        self,
        histories: Mapping[str, Sequence[History]],
        *,
        baseline: str = "scratch",
        seeds: Sequence[int] | None = None,
    ) -> None:
        if baseline not in histories or not histories[baseline]:
            raise ConfigError(f"no histories of the baseline '{baseline}'; found {sorted(histories)}")
        self.histories = {name: list(runs) for name, runs in histories.items()}
        self.baseline = baseline
        n_seeds = max(len(runs) for runs in self.histories.values())
        names = list(seeds) if seeds is not None else list(range(1, n_seeds + 1))
        options = [("all", -1)] + [(f"seed {name}", i) for i, name in enumerate(names)]
        super().__init__(
            {
                "seed": dropdown("seed", options, "one training, or the mean and spread of all"),
                "x": dropdown("against", list(_AXES), "horizontal axis"),
                "smooth": slider("smooth", 1, (1, 9, 2), "running mean over this many validations"),
                "log": toggle("log scale", "logarithmic loss axis"),
            }
        )

    def figure(self) -> PaperFigure:
        """Return the curves for the present choice."""
        return loss_curves(
            {name: [self._curve(h) for h in runs] for name, runs in self._chosen().items()},
            x=_AXES[self.value("x")],
            baseline=self.baseline,
            log_y=self.value("log"),
        )

    def _chosen(self) -> dict[str, list[History]]:
        seed = self.value("seed")
        if seed < 0:
            return self.histories
        return {name: runs[seed : seed + 1] for name, runs in self.histories.items() if len(runs) > seed}

    def _curve(self, history: History) -> tuple[np.ndarray, np.ndarray]:
        return getattr(history, _AXES[self.value("x")]), _smoothed(history.val_loss, self.value("smooth"))


def _smoothed(values: np.ndarray, width: int) -> np.ndarray:
    """Running mean over ``width`` values, shorter at the ends, same length."""
    kernel = np.ones(min(width, len(values)))
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")
