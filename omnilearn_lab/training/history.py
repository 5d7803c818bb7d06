"""The history of a training: one row per record, flushed as JSON lines, read back at any time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError

from omnilearn_lab.errors import TrainingError, nearest

if TYPE_CHECKING:
    import pandas

__all__ = ["History", "writing"]


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

    def __init__(
        self, records: Iterable[Mapping[str, Any]] = (), path: str | os.PathLike[str] | None = None
    ) -> None:
        self.records: list[dict[str, Any]] = [dict(r) for r in records]
        self.path = Path(path) if path is not None else None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> History:
        """Read a JSON-lines file, or the ``metrics.jsonl`` of a run directory.

        An unfinished last line (a run killed while writing) is left out.

        Raises
        ------
        TrainingError
            When there is no such file, or a line before the last one is not a record.
        """
        path = Path(path)
        path = path / "metrics.jsonl" if path.is_dir() else path
        if not path.is_file():
            raise TrainingError(f"no history at '{path}'; give a run directory or its metrics.jsonl")
        lines = path.read_text(errors="replace").splitlines()
        records = []
        for number, line in enumerate(lines, start=1):
            try:
                records.append(dict(json.loads(line)))
            except (ValueError, TypeError) as error:
                if number < len(lines):
                    raise TrainingError(f"'{path}' line {number} is no record; delete the run") from error
        return cls(records, path)

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a record, and write it to disk when the history has a file."""
        self.records.append(dict(record))
        if self.path is not None:
            with writing(self.path), self.path.open("a") as file:
                file.write(json.dumps(record) + "\n")

    def rewind(self, step: int) -> None:
        """Drop the records after ``step``: what a resumed training will make again."""
        self.records = [r for r in self.records if r["step"] <= step]
        if self.path is not None:
            partial = self.path.with_suffix(".part")
            with writing(self.path):
                partial.write_text("".join(json.dumps(r) + "\n" for r in self.records))
                partial.replace(self.path)

    def column(self, name: str, kind: str = "validation") -> np.ndarray:
        """Return one column of the records of a kind, shape (R,).

        Raises
        ------
        TrainingError
            When no record of this kind has such a column.
        """
        rows = [r for r in self.records if r["kind"] == kind]
        if not rows or name not in rows[0]:
            known = rows[0] if rows else {r["kind"]: 0 for r in self.records}
            raise TrainingError(f"no '{name}' in the {kind} records; {nearest(name, known)}")
        return np.array([r.get(name, np.nan) for r in rows], dtype=np.float64)

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
    def steps(self) -> np.ndarray:
        """Updates before each validation."""
        return self.column("step")

    @property
    def jets(self) -> np.ndarray:
        """Jets seen before each validation."""
        return self.column("jets")

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
