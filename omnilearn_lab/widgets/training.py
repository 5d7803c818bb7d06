"""Views of trainings: one that runs, several that are compared, all below a folder."""

from __future__ import annotations

import asyncio
import html
import math
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np

from omnilearn_lab import plotting, training
from omnilearn_lab.display import html_table
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.machine import StrPath
from omnilearn_lab.plotting.figure import PaperFigure, new_axes
from omnilearn_lab.settings import flatten, read_settings
from omnilearn_lab.training.runs import Progress
from omnilearn_lab.widgets.view import FigureView, button, dropdown, slider, toggle

_AXES = {"epoch": "epochs", "step": "steps", "jets seen": "jets", "seconds": "seconds"}
_COLUMNS = {"epochs": "epoch", "steps": "step", "jets": "jets", "seconds": "seconds"}  # of a record


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
        histories: Mapping[str, Sequence[training.History]],
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
            seed=dropdown("seed", options, "one training, or the mean and spread of all"),
            x=dropdown("against", list(_AXES), "horizontal axis"),
            smooth=slider("smooth", 1, (1, 9, 2), "running mean over this many validations"),
            log=toggle("log scale", "logarithmic loss axis"),
        )

    def figure(self) -> PaperFigure:
        """Return the curves for the present choice."""
        axis, width = _AXES[self.value("x")], self.value("smooth")
        curves = {
            name: [(h.column(_COLUMNS[axis]), _smoothed(h.val_loss, width)) for h in runs]
            for name, runs in self._chosen().items()
        }
        return plotting.loss_curves(curves, x=axis, baseline=self.baseline, log_y=self.value("log"))

    def _chosen(self) -> dict[str, list[training.History]]:
        seed = self.value("seed")
        if seed < 0:
            return self.histories
        return {name: runs[seed : seed + 1] for name, runs in self.histories.items() if len(runs) > seed}


def _smoothed(values: np.ndarray, width: int) -> np.ndarray:
    """Running mean over ``width`` values, shorter at the ends, same length."""
    kernel = np.ones(min(width, len(values)))
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


_METRICS = "metrics.jsonl"
_MOST = 6


def find_runs(folder: StrPath) -> dict[str, Path]:
    """Return the run directories below a folder that hold a validation, by their path from it.

    Examples
    --------
    >>> import tempfile
    >>> find_runs(tempfile.mkdtemp())
    {}
    """
    root = Path(folder)
    found = {str(path.parent.relative_to(root)): path.parent for path in sorted(root.rglob(_METRICS))}
    return {name: path for name, path in found.items() if is_validated(training.History.load(path))}


def is_validated(history: training.History) -> bool:
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

    def __init__(self, folder: StrPath = "results") -> None:
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
            runs=chosen,
            x=dropdown("against", list(_AXES), "horizontal axis"),
            log=toggle("log scale", "logarithmic loss axis"),
            again=again,
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
        histories = {name: training.History.load(self.runs[name]) for name in self._chosen()}
        curves = {name: [(h.column(_COLUMNS[axis]), h.val_loss)] for name, h in histories.items()}
        return plotting.loss_curves(curves, x=axis, log_y=self.value("log"))

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
    best = training.History.load(run).best()
    facts = {"best loss": f"{best['loss']:.4f}", "at epoch": f"{best.get('epoch', 0):.2f}"}
    config = run / "config.yaml"
    return facts | (flatten(read_settings(config)) if config.is_file() else {})


def _differs(key: str, rows: dict[str, dict[str, Any]]) -> bool:
    return len({str(row.get(key)) for row in rows.values()}) > 1


_KINDS = {"train": "training", "validation": "validation"}
_TICK = 0.2  # seconds between two signs of life
_SIGNS = "|/-\\"
_ENDED = ("finished", "stopped", "failed", "killed")


class TrainingMonitor(FigureView):
    """Loss curves, progress, speed and time left of a training, read from its run directory.

    The training is not touched: it goes on when the view is closed, and a new view shows everything from
    the start. In a notebook the progress is renewed five times a second by a thread, also while the kernel
    is busy; the curves are drawn when there is a new record and the kernel is free.

    Parameters
    ----------
    directory
        Run directory, which need not hold anything yet.

    Examples
    --------
    >>> import tempfile
    >>> monitor = TrainingMonitor(tempfile.mkdtemp())
    >>> monitor.summary
    'No record yet: the first one comes with the first validation.'
    >>> monitor.stop()
    >>> monitor.status
    'not launched, asked to stop'
    """

    def __init__(self, directory: StrPath) -> None:
        self.launched = training.attach(directory)
        self._drawn = -1
        self._n_ticks = 0
        self._closed = threading.Event()
        stop = button("stop", "end the training after the present update; it can go on later")
        stop.on_click(lambda _: self.stop())
        self.bar = ipywidgets.FloatProgress(0.0, min=0.0, max=1.0, layout={"width": "16em"})
        self.line = ipywidgets.HTML()
        super().__init__(
            x=dropdown("against", list(_AXES), "horizontal axis"),
            log=toggle("log scale", "logarithmic loss axis"),
            stop=stop,
        )
        head = ipywidgets.HBox([self.bar, self.line])
        self.widget.children = (head, *self.widget.children)
        self.tick()
        self._follow()

    @property
    def status(self) -> str:
        """What the training does, see `omnilearn_lab.training.LaunchedRun.status`."""
        status = self.launched.status
        is_asked = status == "not launched" and (self.launched.directory / "stop").exists()
        return f"{status}, asked to stop" if is_asked else status

    def stop(self) -> None:
        """Ask the training to end after the present update, as the button does."""
        self.launched.stop()
        self.tick()

    def close(self) -> None:
        """Stop watching; the training goes on."""
        self._closed.set()
        self.widget.close()

    def refresh(self) -> None:
        """Renew progress and curves now."""
        self.tick()
        if self.has_news:
            self._redraw()

    @property
    def has_news(self) -> bool:
        """Whether there are records that are not in the picture yet."""
        return _size(self._metrics) != self._drawn

    def tick(self) -> None:
        """Renew the progress bar and the line beside it; takes a millisecond."""
        status, progress = self.status, training.read_progress(self.launched.directory)
        self._n_ticks += 1
        sign = "" if status in _ENDED else _SIGNS[self._n_ticks % len(_SIGNS)]
        self.bar.value = progress.fraction if progress else 0.0
        self.bar.bar_style = {"finished": "success", "failed": "danger", "killed": "danger"}.get(status, "")
        self.line.value = f"{html.escape(_describe(status, progress))} <code>{sign}</code>"

    def figure(self) -> PaperFigure:
        """Return the curves of the records so far."""
        self._drawn = _size(self._metrics)
        axis = _AXES[self.value("x")]
        curves = _curves(self._metrics, _COLUMNS[axis])
        if not curves:
            return _waiting()
        figure = plotting.loss_curves(curves, x=axis, log_y=self.value("log"))
        title = figure.axes[0].get_xlabel()
        figure.axes[0].set_ylabel("Loss")
        ends = ", ".join(f"{name} {y[-1]:.4g}" for name, (_, y) in curves.items())
        figure.alt_text = f"Loss against {title[0].lower()}{title[1:]}: now {ends}."
        return figure

    def details(self) -> str:
        """Return the end of the log where a training failed."""
        if self.launched.status not in ("failed", "killed"):
            return ""
        return f"<pre>{html.escape(self.launched.tail(8))}</pre>"

    @property
    def _metrics(self) -> Path:
        return self.launched.directory / "metrics.jsonl"

    def _follow(self) -> None:
        """Watch from a thread, where there is an event loop to draw in: in a notebook, not in a script."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        arguments = (weakref.ref(self), loop, self._closed)
        threading.Thread(target=_watch, args=arguments, daemon=True, name="training monitor").start()


def _watch(
    view: weakref.ref[TrainingMonitor], loop: asyncio.AbstractEventLoop, closed: threading.Event
) -> None:
    """Tick until the training has ended, the view is closed or forgotten, or the kernel shuts down."""
    while not closed.wait(_TICK):
        monitor = view()
        if monitor is None or loop.is_closed():
            return
        has_ended = monitor.status in _ENDED
        monitor.tick()
        if monitor.has_news or has_ended:
            loop.call_soon_threadsafe(monitor._redraw)
            time.sleep(_TICK)
        if has_ended:
            return
        del monitor


def _describe(status: str, progress: Progress | None) -> str:
    """Say where a training is.

    >>> _describe("running", Progress(20, 100, 2000, 50.0, 0.0))
    'running: update 20 of 100, 50 jets/s, 2 min 40 s left'
    """
    if progress is None:
        return f"{status}: reading jets and making the network" if status == "running" else status
    text = (
        f"{status}: update {progress.step:,} of {progress.n_steps:,}, {progress.jets_per_second:,.0f} jets/s"
    )
    left = progress.seconds_left
    return f"{text}, {_duration(left)} left" if status == "running" and math.isfinite(left) else text


def _duration(seconds: float) -> str:
    """Return a time in two units.

    >>> [_duration(s) for s in (5, 65, 3700)]
    ['5 s', '1 min 5 s', '1 h 1 min']
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _curves(path: Path, x: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    if not path.is_file():
        return {}
    records = training.History.load(path).records
    rows = {name: [r for r in records if r.get("kind") == kind] for kind, name in _KINDS.items()}
    return {
        name: (np.array([r[x] for r in some], dtype=float), np.array([r["loss"] for r in some]))
        for name, some in rows.items()
        if some
    }


def _waiting() -> PaperFigure:
    figure, ax = new_axes()
    ax.set(xticks=[], yticks=[])
    ax.text(0.5, 0.5, "waiting for the first record", ha="center", transform=ax.transAxes)
    figure.alt_text = "No record yet: the first one comes with the first validation."
    return figure


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
