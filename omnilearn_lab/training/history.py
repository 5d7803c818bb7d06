"""The history of a training: one row per record, flushed as JSON lines, read back at any time.

Between two records `LossMeter` adds up the losses; `TensorBoardLog` shows the same records elsewhere.
"""

from __future__ import annotations

import json
import math
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from omnilearn_lab.errors import MissingDependencyError, TrainingError, is_file, nearest, translated
from omnilearn_lab.machine import StrPath, write_text

if TYPE_CHECKING:
    import pandas

_READ_EVERY = 32  # updates on a GPU: reading a loss waits for the device, which then runs dry
_NOT_TERMS = frozenset({"kind", "step", "epoch", "jets", "seconds"})


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what may go wrong on a disk into an error of this package.

    Raises
    ------
    TrainingError
        When the disk is full, or the path may not be written.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"'{path}' cannot be written ({error}); make room, or use another directory: a run goes on from "
            "its last checkpoint"
        ) from error


class History:
    """Records of a training, in the order in which they were made.

    Each record holds ``kind`` ("train" or "validation"), ``step``, ``epoch`` (a fraction), ``jets``
    (seen so far), ``seconds`` (spent training so far) and loss terms, ``loss`` among them. Figures are made
    by `omnilearn_lab.plotting.loss_curves`.

    Parameters
    ----------
    records : iterable of mapping
    path
        JSON-lines file to which `append` adds each record at once; None keeps them in memory.

    Examples
    --------
    >>> history = History([{"kind": "validation", "step": 1, "loss": 0.7},
    ...                    {"kind": "validation", "step": 2, "loss": 0.5}])
    >>> history.column("loss")
    array([0.7, 0.5])
    >>> history.best()["step"]
    2
    """

    def __init__(self, records: Iterable[Mapping[str, Any]] = (), path: StrPath | None = None) -> None:
        self.records: list[dict[str, Any]] = [dict(r) for r in records]
        self.path = Path(path) if path is not None else None
        self.listeners: list[Callable[[dict[str, Any]], None]] = []  # called with every new record

    @classmethod
    def load(cls, path: StrPath) -> History:
        """Read a JSON-lines file, or the ``metrics.jsonl`` of a run directory.

        An unfinished last line (a run killed while writing) is left out.

        Raises
        ------
        TrainingError
            When there is no such file, or a line before the last one is not a record.
        """
        path = Path(path)
        path = path if is_file(path) else path / "metrics.jsonl"
        if not is_file(path):
            raise TrainingError(f"no history at '{path}'; give a run directory or its metrics.jsonl")
        with translated(TrainingError, f"'{path}' cannot be read", "name another run directory"):
            lines = path.read_text(errors="replace").splitlines()
        records = []
        for number, line in enumerate(lines, start=1):
            try:
                record = dict(json.loads(line))
                records.append({**record, "kind": str(record["kind"]), "step": int(record["step"])})
            except (ValueError, TypeError, KeyError, RecursionError, OverflowError) as error:
                if number < len(lines):
                    raise TrainingError(f"'{path}' line {number} is no record; delete the run") from error
        return cls(records, path)

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a record, write it to disk when the history has a file, and tell the listeners."""
        self.records.append(dict(record))
        if self.path is not None:
            with writing(self.path), self.path.open("a") as file:
                file.write(json.dumps(record) + "\n")
        for listener in self.listeners:
            listener(dict(record))

    def rewind(self, step: int) -> None:
        """Drop the records after ``step``: what a resumed training will make again."""
        self.records = [r for r in self.records if r["step"] <= step]
        if self.path is not None:
            with writing(self.path):
                write_text(self.path, "".join(json.dumps(r) + "\n" for r in self.records))

    def column(self, name: str, kind: str = "validation") -> np.ndarray:
        """Return one column of the records of a kind, shape (R,).

        Raises
        ------
        TrainingError
            When no record of this kind has such a column, or it does not hold numbers.
        """
        rows = [r for r in self.records if r["kind"] == kind]
        if not rows or name not in rows[0]:
            known = rows[0] if rows else {r["kind"]: 0 for r in self.records}
            raise TrainingError(f"no '{name}' in the {kind} records; {nearest(name, known)}")
        with translated(
            TrainingError, f"'{name}' of '{self.path}' is no number everywhere", "delete the run"
        ):
            values = (r.get(name) for r in rows)
            return np.array([np.nan if value is None else float(value) for value in values])

    def table(self, kind: str = "validation") -> pandas.DataFrame:
        """Return the records of a kind as a table, one column per number.

        Examples
        --------
        >>> History([{"kind": "validation", "step": 1, "loss": 0.5}]).table().columns.tolist()
        ['step', 'loss']
        """
        import pandas

        rows = [{k: v for k, v in r.items() if k != "kind"} for r in self.records if r["kind"] == kind]
        return pandas.DataFrame(rows)

    @property
    def val_loss(self) -> np.ndarray:
        """Validation losses, in order."""
        return self.column("loss")

    @property
    def epochs(self) -> np.ndarray:
        """Epoch of each validation."""
        return self.column("epoch")

    @property
    def seconds(self) -> np.ndarray:
        """Training time before each validation."""
        return self.column("seconds")

    def best(self, name: str = "loss") -> dict[str, Any]:
        """Return the validation record with the smallest value of ``name``."""
        rows = [r for r in self.records if r["kind"] == "validation"]
        return rows[int(np.argmin(self.column(name)))]

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        kinds = [r["kind"] for r in self.records]
        text = f"<History: {kinds.count('train')} training and {kinds.count('validation')} validation records"
        if "validation" in kinds:
            best = self.best()
            text += (
                f", best validation loss {best['loss']:.4f} at epoch {best.get('epoch', float('nan')):.2f}"
            )
        return text + ">"


class LossMeter:
    """Add up loss terms on their device, and look for losses that are not numbers.

    On a CPU every loss is looked at; on a GPU only every 32nd update, and whenever somebody asks, so that
    the loop need not wait for the device.

    Parameters
    ----------
    sums, n_summed
        Where an earlier meter stopped.

    Examples
    --------
    >>> meter = LossMeter()
    >>> meter.add(0, {"loss": torch.tensor(2.0)}), meter.add(1, {"loss": torch.tensor(4.0)})
    (None, None)
    >>> meter.means()
    {'loss': 3.0}
    """

    def __init__(self, sums: Mapping[str, float] | None = None, n_summed: int = 0) -> None:
        self._sums: dict[str, Tensor | float] = dict(sums or {})
        self.n_summed = n_summed
        self._unread: list[tuple[int, Tensor]] = []

    @property
    def sums(self) -> dict[str, float]:
        """The sums so far; waits for the device, once."""
        values = list(self._sums.values())
        if values and isinstance(values[0], Tensor):
            values = torch.stack(values).tolist()
        return dict(zip(self._sums, values, strict=True))

    def add(self, step: int, terms: Mapping[str, Tensor]) -> int | None:
        """Add the terms of an update; return a step whose loss is not a number when one is seen."""
        for name, value in terms.items():
            self._sums[name] = value.double() + self._sums.get(name, 0.0)
        self.n_summed += 1
        self._unread.append((step, terms["loss"]))
        is_due = terms["loss"].device.type == "cpu" or len(self._unread) >= _READ_EVERY
        return self.find_bad() if is_due else None

    def find_bad(self) -> int | None:
        """Return the first step since the last look whose loss is not a number, None when all are."""
        if not self._unread:
            return None
        steps, losses = zip(*self._unread, strict=True)
        self._unread = []
        values = torch.stack(losses).tolist()
        return next((s for s, value in zip(steps, values, strict=True) if not math.isfinite(value)), None)

    def means(self) -> dict[str, float]:
        """Return the means since the last call, and start over."""
        means = {name: value / self.n_summed for name, value in self.sums.items()}
        self._sums, self.n_summed = {}, 0
        return means


class TensorBoardLog:
    """Write the loss terms of each record, one curve per term and kind: ``loss/validation``, ...

    Parameters
    ----------
    directory
        Shown by ``tensorboard --logdir``.
    step
        Curves of an earlier part of this training are dropped after this step.

    Raises
    ------
    MissingDependencyError
        When TensorBoard is not installed.
    """

    def __init__(self, directory: StrPath, step: int = 0) -> None:
        remedy = (
            "pip install 'omnilearn_lab[tensorboard]', or leave it out: metrics.jsonl has the same records"
        )
        with translated(MissingDependencyError, "tensorboard=True needs TensorBoard", remedy):
            from torch.utils.tensorboard import SummaryWriter
        self._writer = SummaryWriter(os.fspath(directory), purge_step=step + 1 if step else None)
        weakref.finalize(self, self._writer.close)

    def add(self, record: Mapping[str, Any]) -> None:
        """Write the terms of a record of `omnilearn_lab.training.History`."""
        for name in sorted(record.keys() - _NOT_TERMS):
            self._writer.add_scalar(f"{name}/{record['kind']}", record[name], record["step"])
        self._writer.flush()
