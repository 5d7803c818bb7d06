"""Several runs side by side: the settings in which they differ, and how far each got."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnilearn_lab.errors import TrainingError
from omnilearn_lab.settings import flatten, read_settings
from omnilearn_lab.training.history import History

if TYPE_CHECKING:
    import pandas

__all__ = ["RunSummary", "RunTable", "compare_runs"]


@dataclass(frozen=True, eq=False)
class RunSummary:
    """One run: where it is, what was set, how far it got.

    Parameters
    ----------
    name, directory
    settings
        All settings, nested ones as ``training.learning_rate``.
    history : History
    """

    name: str
    directory: Path
    settings: Mapping[str, Any]
    history: History

    @property
    def best_loss(self) -> float:
        """Lowest validation loss; NaN before the first validation."""
        return float(self.history.best()["loss"]) if self._reached else float("nan")

    @property
    def best_epoch(self) -> float:
        """Epoch of the lowest validation loss."""
        return float(self.history.best()["epoch"]) if self._reached else float("nan")

    @property
    def epochs(self) -> float:
        """Epochs done at the last record."""
        return float(self._last.get("epoch", 0.0))

    @property
    def jets(self) -> int:
        """Jets seen, the same jet counted once an epoch."""
        return int(self._last.get("jets", 0))

    @property
    def seconds(self) -> float:
        """Time spent training."""
        return float(self._last.get("seconds", 0.0))

    @property
    def jets_per_second(self) -> float:
        """Training speed; NaN before the first update."""
        return self.jets / self.seconds if self.seconds else float("nan")

    @property
    def _reached(self) -> bool:
        return any(r["kind"] == "validation" for r in self.history.records)

    @property
    def _last(self) -> Mapping[str, Any]:
        return self.history.records[-1] if len(self.history) else {}


_NUMBERS = ("best_loss", "best_epoch", "epochs", "jets", "seconds", "jets_per_second")


@dataclass(frozen=True, eq=False)
class RunTable:
    """Runs, and the names of the settings that are not the same in all of them.

    Parameters
    ----------
    runs : tuple of RunSummary
    differences : tuple of str
    """

    runs: tuple[RunSummary, ...]
    differences: tuple[str, ...]

    def to_pandas(self) -> pandas.DataFrame:
        """Return one row per run: differing settings, then losses, lengths and speeds."""
        import pandas

        rows = [
            {key: run.settings.get(key) for key in self.differences}
            | {name: getattr(run, name) for name in _NUMBERS}
            for run in self.runs
        ]
        return pandas.DataFrame(rows, index=pandas.Index([run.name for run in self.runs], name="run"))

    def __len__(self) -> int:
        return len(self.runs)

    def __repr__(self) -> str:
        return self.to_pandas().to_string(float_format="{:.5g}".format)

    def _repr_html_(self) -> str:
        return self.to_pandas().to_html(float_format="{:.5g}".format)


def compare_runs(directories: Sequence[str | os.PathLike[str]]) -> RunTable:
    """Read run directories, running or finished, and say where they differ.

    Parameters
    ----------
    directories
        Run directories; they are named by the part of the path that tells them apart.

    Returns
    -------
    RunTable

    Raises
    ------
    TrainingError
        When a directory holds no run, or none is given.

    Examples
    --------
    >>> import tempfile
    >>> from omnilearn_lab.training.runs import Run
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for size in (64, 128):
    ...         run = Run(f"{folder}/batch{size}", {"training": {"batch_size": size, "epochs": 2}})
    ...         record = {"kind": "validation", "step": 9, "epoch": 1.0, "jets": 9 * size, "seconds": 3.0}
    ...         run.history().append(record | {"loss": 1 / size})
    ...     table = compare_runs([f"{folder}/batch64", f"{folder}/batch128"])
    >>> table.differences, [run.jets_per_second for run in table.runs]
    (('training.batch_size',), [192.0, 384.0])
    """
    paths = [Path(d).absolute() for d in directories]
    if not paths:
        raise TrainingError("compare_runs needs at least one run directory")
    common = Path(os.path.commonpath([p.parent for p in paths]))
    runs = tuple(_read_run(path, path.relative_to(common).as_posix()) for path in paths)
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    differences = tuple(k for k in keys if any(r.settings.get(k) != runs[0].settings.get(k) for r in runs))
    return RunTable(runs, differences)


def _read_run(path: Path, name: str) -> RunSummary:
    config = path / "config.yaml"
    if not config.is_file():
        raise TrainingError(f"'{path}' is no run directory: it has no config.yaml")
    settings = flatten(read_settings(config))
    metrics = path / "metrics.jsonl"
    return RunSummary(name, path, settings, History.load(metrics) if metrics.is_file() else History())
