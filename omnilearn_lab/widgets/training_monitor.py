"""Watch a training in its run directory while it runs, here or elsewhere, and end it with a button."""

from __future__ import annotations

import asyncio
import html
import math
import os
import threading
import time
import weakref
from pathlib import Path

import ipywidgets
import numpy as np

from omnilearn_lab.plotting import loss_curves
from omnilearn_lab.plotting.figure import PaperFigure, new_axes
from omnilearn_lab.training import History, attach, read_progress
from omnilearn_lab.training.runs import Progress
from omnilearn_lab.widgets.view import FigureView, button, dropdown, toggle

_AXES = {"epoch": "epoch", "step": "step", "jets seen": "jets", "seconds": "seconds"}
_TITLES = {
    "epoch": "Epoch",
    "step": "Optimizer step",
    "jets seen": "Jets seen",
    "seconds": "Training time [s]",
}
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

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.launched = attach(directory)
        self._drawn = -1
        self._n_ticks = 0
        self._closed = threading.Event()
        stop = button("stop", "end the training after the present update; it can go on later")
        stop.on_click(lambda _: self.stop())
        self.bar = ipywidgets.FloatProgress(0.0, min=0.0, max=1.0, layout={"width": "16em"})
        self.line = ipywidgets.HTML()
        super().__init__(
            {
                "x": dropdown("against", [(k, k) for k in _AXES], "horizontal axis"),
                "log": toggle("log scale", "logarithmic loss axis"),
                "stop": stop,
            }
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
        status, progress = self.status, read_progress(self.launched.directory)
        self._n_ticks += 1
        sign = "" if status in _ENDED else _SIGNS[self._n_ticks % len(_SIGNS)]
        self.bar.value = progress.fraction if progress else 0.0
        self.bar.bar_style = {"finished": "success", "failed": "danger", "killed": "danger"}.get(status, "")
        self.line.value = f"{html.escape(_describe(status, progress))} <code>{sign}</code>"

    def figure(self) -> PaperFigure:
        """Return the curves of the records so far."""
        self._drawn = _size(self._metrics)
        curves = _curves(self._metrics, _AXES[self.value("x")])
        if not curves:
            return _waiting()
        title = _TITLES[self.value("x")]
        figure = loss_curves(curves, x=title, log_y=self.value("log"))
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
    records = History.load(path).records
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
