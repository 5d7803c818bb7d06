"""Compare validation losses, seed by seed or run by run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np

from omnilearn_lab.display import html_table
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.plotting import loss_curves
from omnilearn_lab.plotting.figure import PaperFigure
from omnilearn_lab.training import History
from omnilearn_lab.widgets.view import FigureView, button, dropdown, slider, toggle

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


_METRICS = "metrics.jsonl"
_MOST = 6


def find_runs(folder: str | os.PathLike[str]) -> dict[str, Path]:
    """Return the run directories below a folder that hold a validation, by their path from it.

    Examples
    --------
    >>> import tempfile
    >>> find_runs(tempfile.mkdtemp())
    {}
    """
    root = Path(folder)
    found = {str(path.parent.relative_to(root)): path.parent for path in sorted(root.rglob(_METRICS))}
    return {name: path for name, path in found.items() if is_validated(History.load(path))}


def is_validated(history: History) -> bool:
    """Say whether a training has measured its validation loss at least once."""
    return any(record.get("kind") == "validation" for record in history.records)


class RunBrowser(FigureView):
    """Validation losses of any saved runs, with the settings in which they differ.

    Parameters
    ----------
    folder
        Searched for run directories, and again when "look again" is pressed.

    Raises
    ------
    ConfigError
        When the folder holds no run.

    Examples
    --------
    >>> import tempfile
    >>> RunBrowser(tempfile.mkdtemp())
    Traceback (most recent call last):
    omnilearn_lab.errors.ConfigError: no finished validation of a run below '...'; train with ...
    """

    def __init__(self, folder: str | os.PathLike[str] = "results") -> None:
        self.folder = Path(folder)
        self.runs = find_runs(folder)
        if not self.runs:
            raise ConfigError(
                f"no finished validation of a run below '{folder}'; train with a run directory there first"
            )
        again = button("look again", "search the folder for new runs")
        again.on_click(lambda _: self.look_again())
        chosen = ipywidgets.SelectMultiple(
            options=list(self.runs),
            value=tuple(self.runs)[:_MOST],
            description="runs",
            rows=min(len(self.runs), _MOST),
            tooltip="hold Ctrl or Shift to choose several",
            layout={"width": "28em"},
        )
        super().__init__(
            {
                "runs": chosen,
                "x": dropdown("against", list(_AXES), "horizontal axis"),
                "log": toggle("log scale", "logarithmic loss axis"),
                "again": again,
            }
        )

    def look_again(self) -> None:
        """Search the folder again; the choice stays."""
        chosen, self._sign.value = self.value("runs"), "looking ..."
        self.runs = find_runs(self.folder)
        self._screens.clear()
        self.controls["runs"].options = list(self.runs)
        self.set(runs=tuple(name for name in chosen if name in self.runs) or tuple(self.runs)[:1])
        self._sign.value = ""

    def figure(self) -> PaperFigure:
        """Return the losses of the chosen runs; of the first one when none is chosen."""
        axis = _AXES[self.value("x")]
        histories = {name: History.load(self.runs[name]) for name in self._chosen()}
        curves = {name: [(getattr(h, axis), h.val_loss)] for name, h in histories.items()}
        return loss_curves(curves, x=axis, log_y=self.value("log"))

    def details(self) -> str:
        """Return best loss and differing settings of the chosen runs as a table."""
        rows = {name: _facts(self.runs[name]) for name in self._chosen()}
        columns = [key for key in next(iter(rows.values())) if _differs(key, rows) or key == "best loss"]
        columns += [k for row in rows.values() for k in row if k not in columns and _differs(k, rows)]
        columns = list(dict.fromkeys(columns))
        body = [(name, *(row.get(key, "") for key in columns)) for name, row in rows.items()]
        return html_table([("run", *columns), *body])

    def _chosen(self) -> tuple[str, ...]:
        return self.value("runs") or tuple(self.runs)[:1]


def _facts(run: Path) -> dict[str, Any]:
    """Best loss, jets seen, seconds and every setting of a run, by dotted name."""
    import yaml

    best = History.load(run).best()
    facts = {"best loss": f"{best['loss']:.4f}", "at epoch": f"{best.get('epoch', 0):.2f}"}
    config = run / "config.yaml"
    return facts | (_flat(yaml.safe_load(config.read_text())) if config.is_file() else {})


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {prefix: values}
    inner = (_flat(v, f"{prefix}.{k}" if prefix else str(k)) for k, v in values.items())
    return {name: value for part in inner for name, value in part.items()}


def _differs(key: str, rows: dict[str, dict[str, Any]]) -> bool:
    return len({str(row.get(key)) for row in rows.values()}) > 1
