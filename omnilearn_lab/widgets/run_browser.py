"""Compare saved trainings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import ipywidgets

from omnilearn_lab.display import html_table
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.plotting import PaperFigure, loss_curves
from omnilearn_lab.training import History
from omnilearn_lab.widgets.controls import button, dropdown, toggle
from omnilearn_lab.widgets.view import FigureView

__all__ = ["RunBrowser", "find_runs"]

_AXES = {"epoch": "epochs", "step": "steps", "jets seen": "jets", "seconds": "seconds"}
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
    return {name: path for name, path in found.items() if _is_validated(path)}


def _is_validated(run: Path) -> bool:
    return any(record.get("kind") == "validation" for record in History.load(run).records)


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
