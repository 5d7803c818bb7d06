"""What all readers share: rows in, checked `Jets` out, in bounded memory."""

from __future__ import annotations

import logging
import os
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from omnilearn_lab.errors import ConfigError, DataFileError, OmniLearnLabError, nearest
from omnilearn_lab.jets import Jets

__all__ = ["RawJets", "Reader", "Rows", "column", "jet_axis", "open_h5", "opened", "padded_rows"]

log = logging.getLogger(__name__)
_UNREADABLE = (OSError, KeyError, ValueError, IndexError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class RawJets:
    """Rows of a file, translated to our names and units but not yet checked.

    Attributes
    ----------
    particles
        Columns of all particles back to back, each shape (T,): either ``deta``, ``dphi``, ``pt``,
        ``energy``, or a four-momentum ``px``, ``py``, ``pz``, ``energy``; and further columns.
    counts : int array, shape (N,)
        Particles per jet; zero is allowed here.
    jet
        Jet columns, each shape (N,); a four-momentum that is not given is the sum of the particles.
    rows : int array, shape (N,), optional
        Row of each jet in the file, where that is not simply one after the other.
    class_names
        Class names that the file itself gives; else those of the reader hold.
    """

    particles: Mapping[str, np.ndarray]
    counts: np.ndarray
    jet: Mapping[str, np.ndarray] = field(default_factory=dict)
    rows: np.ndarray | None = None
    class_names: tuple[str, ...] = ()

    def select(self, keep: np.ndarray) -> RawJets:
        """Return the jets where ``keep`` is true."""
        kept = np.repeat(keep, self.counts)
        return RawJets(
            {name: values[kept] for name, values in self.particles.items()},
            self.counts[keep],
            {name: values[keep] for name, values in self.jet.items()},
            (np.arange(len(keep)) if self.rows is None else self.rows)[keep],
            self.class_names,
        )

    def row(self, jet: int) -> int:
        """Return the row of a jet, counted from the first row of this block."""
        return int(jet if self.rows is None else self.rows[jet])


@dataclass(frozen=True)
class Rows:
    """An open file: the number of rows, and a function that returns rows ``start:stop``."""

    n_rows: int
    rows: Callable[[int, int], RawJets]


@dataclass(frozen=True)
class Reader(ABC):
    """Base of all readers: one per published format.

    Attributes
    ----------
    empty_jets
        ``drop`` jets without particles, with a logged count, or refuse them (``error``).
    bad_jets
        Refuse (``error``) jets with not-a-number, negative energy, non-positive pt or a label
        outside the classes, or ``drop`` them, with a logged count.
    """

    empty_jets: Literal["drop", "error"] = "drop"
    bad_jets: Literal["error", "drop"] = "error"

    name: ClassVar[str] = ""
    suffixes: ClassVar[tuple[str, ...]] = (".h5", ".hdf5")
    class_names: ClassVar[tuple[str, ...]] = ()
    origin: ClassVar[str] = "published"  # what the provenance of the jets says

    def __post_init__(self) -> None:
        for option, accepted in (("empty_jets", ("drop", "error")), ("bad_jets", ("error", "drop"))):
            if getattr(self, option) not in accepted:
                raise ConfigError(f"{option}={getattr(self, option)!r}; one of {accepted} is expected")

    @abstractmethod
    def open(self, path: Path) -> AbstractContextManager[Rows]:
        """Open a file; its content is read only when rows are asked for."""

    def count(self, path: str | os.PathLike[str]) -> int:
        """Return the number of rows of a file, empty and bad jets included."""
        with opened(self, path) as file:
            return file.n_rows

    def read(
        self,
        path: str | os.PathLike[str],
        *,
        start: int = 0,
        stop: int | None = None,
        max_particles: int | None = None,
    ) -> Jets:
        """Read rows ``start:stop`` of a file.

        Parameters
        ----------
        path
        start, stop
            Rows of the file.
        max_particles
            Keep the hardest particles only.

        Returns
        -------
        Jets

        Raises
        ------
        DataFileError
            When the file is missing, truncated, lacks a column, or holds bad jets.
        """
        with opened(self, path) as file:
            stop = file.n_rows if stop is None else min(stop, file.n_rows)
            return self._jets(Path(path), file, (start, max(start, stop)), max_particles)

    def iterate(
        self,
        path: str | os.PathLike[str],
        *,
        chunk: int = 10_000,
        start: int = 0,
        stop: int | None = None,
        max_particles: int | None = None,
    ) -> Iterator[Jets]:
        """Yield `Jets` of ``chunk`` rows at a time; memory does not grow with the file."""
        with opened(self, path) as file:
            end = file.n_rows if stop is None else min(stop, file.n_rows)
            for first in range(start, end, chunk):
                yield self._jets(Path(path), file, (first, min(first + chunk, end)), max_particles)

    def _jets(self, path: Path, file: Rows, rows: tuple[int, int], max_particles: int | None) -> Jets:
        raw = file.rows(*rows)
        names = raw.class_names or self.class_names
        raw = self._without_bad(raw, path, (rows[0], len(names)))
        provenance = {"source": self.origin, "reader": self.name, "file": path.name, "rows": list(rows)}
        jets = _build(raw, {"class_names": names, "provenance": provenance})
        return jets if max_particles is None else jets.truncate(max_particles)

    def _without_bad(self, raw: RawJets, path: Path, about: tuple[int, int]) -> RawJets:
        """Refuse or drop bad jets, then empty ones; ``about``: first row, number of classes."""
        start, n_classes = about
        problems = _problems(raw, n_classes)
        bad = np.zeros(len(raw.counts), dtype=bool)
        for what, where in problems.items():
            if where.any() and self.bad_jets == "error":
                raise DataFileError(
                    f"'{path}', row {start + raw.row(int(np.argmax(where)))}: {what} "
                    f"({int(where.sum())} such rows in this block); repair the file, "
                    "or drop these jets with bad_jets='drop'"
                )
            bad |= where
        empty = (raw.counts == 0) & ~bad
        if empty.any() and self.empty_jets == "error":
            raise DataFileError(
                f"'{path}', row {start + raw.row(int(np.argmax(empty)))}: a jet without particles; "
                "repair the file, or drop such jets with empty_jets='drop'"
            )
        if empty.any() or bad.any():
            log.warning("'%s': dropped %d empty and %d bad jets", path.name, empty.sum(), bad.sum())
            return raw.select(~(empty | bad))
        return raw


@contextmanager
def opened(reader: Reader, path: str | os.PathLike[str]) -> Iterator[Rows]:
    """Open a file with a reader; failures of the libraries below become `DataFileError`."""
    path = Path(path)
    if not path.is_file():
        raise DataFileError(f"'{path}' is not an existing file; check the path, or fetch the dataset first")
    try:
        with reader.open(path) as file:
            yield file
    except OmniLearnLabError:
        raise
    except _UNREADABLE as error:
        raise DataFileError(
            f"'{path}' is not a readable '{reader.name}' file ({type(error).__name__}: {error}); "
            "it may be truncated or of another format: fetch it again, or choose another reader"
        ) from error


def column(place: Any, name: str, path: Path) -> Any:
    """Return ``place[name]``; a missing one is an error that names the nearest.

    Parameters
    ----------
    place
        A mapping-like object with ``keys()``: an HDF5 file, a ROOT tree, a data frame.
    name
    path
        The file, for the message.

    Raises
    ------
    DataFileError
        When there is no such dataset, branch or column.
    """
    if name not in place:
        found = list(place.keys())
        raise DataFileError(
            f"'{path}' has no '{name}'; {nearest(name, map(str, found[:40]))}; "
            "is it of another format, or an incomplete download?"
        )
    return place[name]


def _build(raw: RawJets, labels: dict[str, Any]) -> Jets:
    offsets = np.concatenate([[0], np.cumsum(raw.counts)]).astype(np.int64)
    if "px" not in raw.particles:
        return Jets.build(raw.particles, offsets, raw.jet, **labels)
    others = {name: v for name, v in raw.particles.items() if name not in ("px", "py", "pz", "energy")}
    momenta = np.stack([raw.particles[name] for name in ("px", "py", "pz", "energy")], axis=1)
    return Jets.from_four_momenta(momenta, offsets, particles=others, jet=raw.jet, **labels)


def _problems(raw: RawJets, n_classes: int) -> dict[str, np.ndarray]:
    """What is wrong, and with which jets: mask of shape (N,) by description."""
    found = {}
    for name, values in raw.particles.items():
        found[f"particle '{name}' is not finite"] = _jets_with(raw.counts, ~np.isfinite(values))
    for name, values in raw.jet.items():
        found[f"jet '{name}' is not finite"] = ~np.isfinite(values)
    found["a particle has negative energy"] = _jets_with(raw.counts, raw.particles["energy"] < 0)
    found["a particle has no transverse momentum"] = _jets_with(raw.counts, _pt(raw) <= 0)
    if "label" in raw.jet and n_classes:
        label = np.asarray(raw.jet["label"])
        found[f"the label is outside 0 to {n_classes - 1}"] = (label < 0) | (label >= n_classes)
    return found


def _pt(raw: RawJets) -> np.ndarray:
    if "pt" in raw.particles:
        return raw.particles["pt"]
    return np.hypot(raw.particles["px"], raw.particles["py"])


def _jets_with(counts: np.ndarray, flagged: np.ndarray) -> np.ndarray:
    """Turn a mask over particles into a mask over jets: any particle flagged."""
    index = np.repeat(np.arange(len(counts)), counts)
    return np.bincount(index[flagged], minlength=len(counts)) > 0


@contextmanager
def open_h5(path: Path) -> Iterator[Any]:
    """Open an HDF5 file for reading."""
    import h5py

    with h5py.File(path, "r") as file:
        yield file


def padded_rows(
    columns: Mapping[str, np.ndarray], mask: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Flatten rectangular columns, each shape (N, P), to the slots where ``mask`` is true.

    Returns
    -------
    columns
        Each shape (T,).
    counts : int array, shape (N,)

    Examples
    --------
    >>> padded_rows({"pt": np.array([[3.0, 0.0], [2.0, 1.0]])}, np.array([[True, False], [True, True]]))
    ({'pt': array([3., 2., 1.])}, array([1, 2]))
    """
    return {name: values[mask] for name, values in columns.items()}, mask.sum(axis=1)


def jet_axis(particles: Mapping[str, np.ndarray], counts: np.ndarray) -> dict[str, np.ndarray]:
    """Return pt, eta, phi, mass of the sum of ``px, py, pz, energy``; zeros for empty jets.

    Examples
    --------
    >>> columns = {"px": np.array([3.0, 1.0]), "py": np.zeros(2), "pz": np.zeros(2), "energy": np.ones(2)}
    >>> jet_axis(columns, np.array([2, 0]))["pt"].tolist()
    [4.0, 0.0]
    """
    index = np.repeat(np.arange(len(counts)), counts)
    px, py, pz, energy = (
        np.bincount(index, weights=particles[name], minlength=len(counts))
        for name in ("px", "py", "pz", "energy")
    )
    pt = np.hypot(px, py)
    eta = np.arcsinh(np.divide(pz, pt, out=np.zeros_like(pz), where=pt > 0))
    mass = np.sqrt(np.maximum(energy**2 - pt**2 - pz**2, 0))
    return {"pt": pt, "eta": eta, "phi": np.arctan2(py, px), "mass": mass}
