"""OmniLearned's ML-ready HDF5 files, theirs and ours."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from omnilearn_lab.errors import DataFileError, JetsError
from omnilearn_lab.jets import read_jets
from omnilearn_lab.readers.base import RawJets, Reader, Rows, column, open_h5

__all__ = ["MLReady"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MLReady(Reader):
    """``data`` (N, P, F), ``pid`` (label plus the dataset's shift), optional ``global``.

    Files of OmniLearned store labels of one space shared by all datasets; ``shift`` is subtracted.
    Jets with a stray label (a few 0 in the JetClass training files, all of the CMS QCD test files)
    are bad jets: ``bad_jets="drop"`` leaves them out.

    Attributes
    ----------
    shift
        Subtracted from the stored labels.
    classes
        Class names; those that the file holds (ours do) when empty.
    stored_labels
        Stored labels by class, for sets whose labels are not a range: (2, 10) for ATLAS top.

    Examples
    --------
    >>> MLReady(shift=2).shift
    2
    """

    shift: int = 0
    classes: tuple[str, ...] = ()
    stored_labels: tuple[int, ...] = ()

    name: ClassVar[str] = "ml_ready"

    @contextmanager
    def open(self, path: Path) -> Iterator[Rows]:
        """Check the layout."""
        with open_h5(path) as file:
            n_rows = len(column(file, "data", path))
            column(file, "pid", path)
        yield Rows(n_rows, lambda start, stop: self._rows(path, start, stop))

    def _rows(self, path: Path, start: int, stop: int) -> RawJets:
        try:
            jets = read_jets(path, start, stop)
        except JetsError as error:
            raise DataFileError(
                f"'{path}', in rows {start} to {stop}: {error}; make the file again, "
                "or read around these rows"
            ) from error
        names = tuple(self.classes) or jets.class_names
        label = jets.jet["label"] - self.shift
        if self.stored_labels:
            match = label[:, None] == np.array(self.stored_labels)
            label = np.where(match.any(axis=1), match.argmax(axis=1), -1)
        rows = np.arange(len(jets)) if len(jets) == stop - start else _filled_rows(path, start, stop)
        return RawJets(jets.particles, jets.counts, {**jets.jet, "label": label}, rows, names)


def _filled_rows(path: Path, start: int, stop: int) -> np.ndarray:
    """Return which rows hold particles: empty ones are left out by ``read_jets``."""
    with open_h5(path) as file:
        empty = file["counts"][start:stop] == 0 if "counts" in file else ~_any_real(file["data"], start, stop)
    log.warning("'%s': dropped %d empty jets", path.name, empty.sum())
    return np.flatnonzero(~empty)


def _any_real(data: Any, start: int, stop: int) -> np.ndarray:
    return np.any(data[start:stop, :, 2] != 0, axis=1)
