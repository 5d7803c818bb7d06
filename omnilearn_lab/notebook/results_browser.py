"""What the notebooks found: scratch beside pretrained, task by task; the dashboard's page."""

from __future__ import annotations

import html
import os
import subprocess
import sys
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import ipywidgets

from omnilearn_lab.display import html_table
from omnilearn_lab.errors import ConfigError, DataFileError
from omnilearn_lab.machine import StrPath
from omnilearn_lab.notebook.execute import find_notebooks
from omnilearn_lab.notebook.recorded import RECORDED, ResultsRecord
from omnilearn_lab.notebook.report import collect_results, comparison_rows
from omnilearn_lab.notebook.results import results_root
from omnilearn_lab.widgets.view import as_text, button, dropdown, framed, in_background, picture, row

_COMMAND = "from omnilearn_lab.cli import main; main()"
_FIRST_FIGURES = ("loss_curves", "learning_curve", "downstream", "roc", "sic")


class ResultsBrowser:
    """Choose a notebook and a profile: its numbers, its figures, and how long it took.

    Notebooks without results can be run from here, in a process beside this one, in profile ``smoke``.

    Parameters
    ----------
    folder
        The root of results; by default the one that notebooks write to. Recorded runs stand below its own.

    Examples
    --------
    >>> import tempfile
    >>> ResultsBrowser(tempfile.mkdtemp()).to_run.value
    '00_start_here'
    """

    def __init__(self, folder: StrPath | None = None) -> None:
        self.folder = Path(folder) if folder is not None else results_root()
        self.choice = dropdown("task", [], "a notebook with results, and its profile")
        self.pictures = dropdown("figure", [], "one of the notebook's figures")
        self.to_run = dropdown("notebook", list(_notebooks()), "which notebook to run")
        self.run = button("run (smoke)", "execute this notebook in profile smoke: under a minute each")
        self.state, self.text = ipywidgets.HTML(), ipywidgets.HTML()
        self.image = picture()
        self.image.layout.max_width = "min(100%, 60em)"  # saved figures are finer than a screen
        self.choice.observe(self._show, names="value")
        self.pictures.observe(self._draw, names="value")
        self.run.on_click(lambda _: self.start())
        self.run.disabled = not self.to_run.options
        first, second = row([self.choice, self.pictures]), row([self.to_run, self.run, self.state])
        second.layout.display = "flex" if self.to_run.options else "none"
        self.widget = framed([first, self.text, self.image, second], "ResultsBrowser")
        self.look_again()

    def look_again(self, chosen: tuple[str, str] | None = None) -> None:
        """Read the results again, and show the chosen (notebook, profile), or the first."""
        own, recorded = _results(self.folder), _results(RECORDED)
        self.records = recorded | own
        self.choice.options = [
            (f"{name} ({profile}{', recorded' * ((name, profile) not in own)})", (name, profile))
            for name, profile in [*own, *(key for key in recorded if key not in own)]
        ]
        first = next(iter(self.choice.options), (None, None))[1]
        self.choice.value = chosen if chosen in self.records else first
        self._show()

    def start(self) -> threading.Thread:
        """Run the chosen notebook in profile smoke, in a thread that shows the seconds."""
        name = self.to_run.value
        self.run.disabled = True
        return in_background(
            partial(self._execute, name), self.state, f"running {name}", partial(self._end, name)
        )

    def _execute(self, name: str) -> str:
        command = [sys.executable, "-c", _COMMAND, "run", name, "--profile", "smoke"]
        where = os.environ | {"OMNILEARN_LAB_RESULTS": str(self.folder.resolve())}
        done = subprocess.run(command, env=where, capture_output=True, text=True, check=False)
        last = (done.stdout + done.stderr).strip().splitlines()[-1:] or [""]
        return "<b>not done:</b> " * bool(done.returncode) + html.escape(last[0])

    def _end(self, name: str) -> None:
        self.run.disabled = False
        self.look_again((name, "smoke"))

    def _show(self, _: object = None) -> None:
        record = self.records.get(self.choice.value)
        self.text.value = _summary(record) if record else "<p>No results yet: run a notebook.</p>"
        folder = self.folder.joinpath(*self.choice.value) if record else None
        found = sorted(folder.glob("*.png"), key=_importance) if folder else []
        self.pictures.options = [(path.stem.replace("_", " "), path) for path in found]
        self.pictures.value = next(iter(found), None)
        self._draw()

    def _draw(self, _: object = None) -> None:
        path = self.pictures.value
        self.image.value = path.read_bytes() if path else b""
        self.image.layout.display = "" if path else "none"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """Offer the live widget and, for readers without a kernel, the numbers and the figure shown."""
        live = self.widget._repr_mimebundle_() or {}
        png = as_text(self.image.value)
        picture = f'<img alt="figure" src="data:image/png;base64,{png}">' if png else ""
        return {**live, "text/html": self.text.value + picture, "text/plain": f"results in {self.folder}"}


def _results(folder: Path) -> dict[tuple[str, str], ResultsRecord]:
    with suppress(DataFileError):
        return {(r.notebook, r.profile): r for r in collect_results(folder)}
    return {}


def _notebooks() -> dict[str, Path]:
    with suppress(ConfigError):
        return find_notebooks()
    return {}


def _importance(path: Path) -> tuple[int, str]:
    return (_FIRST_FIGURES.index(path.stem) if path.stem in _FIRST_FIGURES else 99, path.stem)


def _summary(record: ResultsRecord) -> str:
    took = sum(record.seconds.values()) if record.total_seconds is None else record.total_seconds
    memory = f", peak memory {record.peak_memory_gb:.2f} GB" if record.peak_memory_gb else ""
    seeds = ", ".join(map(str, record.seeds))
    head = f"{record.source} jets, seeds {seeds}, {took:.0f} s{memory}, {record.date}"
    tables = (
        f"<h4>{html.escape(title)} ({comparison.n_train:,} training jets)</h4>"
        + html_table(comparison_rows(comparison, is_judged=record.is_judged))
        for title, comparison in record.comparisons.items()
    )
    return f"<p>{html.escape(head)}</p>" + "".join(tables)
