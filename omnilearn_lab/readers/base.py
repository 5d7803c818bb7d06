"""What all readers share: rows in, checked `Jets` out, in bounded memory; their list by name; conversion."""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import h5py
import numpy as np
from pydantic import Field

from omnilearn_lab.errors import CatalogError, DataFileError, nearest
from omnilearn_lab.jets import Jets, write_jets
from omnilearn_lab.jets.files import tell_left_out
from omnilearn_lab.machine import StrPath, check_dataset, check_size, reading
from omnilearn_lab.settings import settings

_READERS: dict[str, type[Reader]] = {}
_ROUNDING = 1e-3  # of a jet's pt: how far below zero a mass may come out of single precision


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
    about
        What else the provenance of the jets should say.
    """

    particles: Mapping[str, np.ndarray]
    counts: np.ndarray
    jet: Mapping[str, np.ndarray] = field(default_factory=dict)
    rows: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    def select(self, keep: np.ndarray) -> RawJets:
        """Return the jets where ``keep`` is true."""
        kept = np.repeat(keep, self.counts)
        return replace(
            self,
            particles={name: values[kept] for name, values in self.particles.items()},
            counts=self.counts[keep],
            jet={name: values[keep] for name, values in self.jet.items()},
            rows=self.row[keep],
        )

    @property
    def row(self) -> np.ndarray:
        """Row of every jet, counted from the first row of this block."""
        return np.arange(len(self.counts)) if self.rows is None else self.rows

    def first_particles(self, limit: int) -> RawJets:
        """Keep the first ``limit`` particles of every jet, in the order of the file.

        ``multiplicity`` then counts all of them, as after any truncation.
        """
        offsets = np.concatenate([[0], np.cumsum(self.counts)])
        keep = np.arange(offsets[-1]) - np.repeat(offsets[:-1], self.counts) < limit
        kept = {name: values[keep] for name, values in self.particles.items()}
        jet = {"multiplicity": self.counts} | dict(self.jet)
        return replace(self, particles=kept, counts=np.minimum(self.counts, limit), jet=jet)

    def to_jets(self, class_names: tuple[str, ...], provenance: Mapping[str, Any]) -> Jets:
        """Build the jets; where the axis is not given, it is that of the sum of the particles."""
        offsets = np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)
        labels: dict[str, Any] = {"class_names": class_names, "provenance": provenance}
        if "px" not in self.particles:
            return Jets.build(self.particles, offsets, self.jet, **labels)
        names = ("px", "py", "pz", "energy")
        others = {name: v for name, v in self.particles.items() if name not in names}
        momenta = np.stack([self.particles[name] for name in names], axis=1)
        return Jets.from_four_momenta(momenta, offsets, particles=others, jet=self.jet, **labels)


@dataclass(frozen=True)
class Rows:
    """An open file: the number of rows, and a function that returns rows ``start:stop``."""

    n_rows: int
    rows: Callable[[int, int], RawJets]


@dataclass
class Source:
    """An open file of a published format, and what its messages need.

    Attributes
    ----------
    file
        Named arrays: an HDF5 file, the arrays of an ``.npz`` file, a ROOT tree, a data frame.
    path
    n_rows
        Length that every array must have.
    """

    file: Any
    path: Path
    n_rows: int = 0

    def __contains__(self, name: str) -> bool:
        return name in self.file

    def __getitem__(self, name: str) -> Any:
        """Return an array on disk; a missing one is an error that names the nearest."""
        return column(self.file, name, self.path)

    def rows(self, name: str, rows: slice, part: Any = ...) -> np.ndarray:
        """Return rows of an array, which must be as long as the others."""
        item = self[name]
        if len(item) != self.n_rows:
            raise DataFileError(
                f"'{self.path}': '{name}' has {len(item)} rows, and others have {self.n_rows}; jets would be "
                "lost or mixed up: repair the file, or fetch it again"
            )
        return np.asarray(item[rows] if part is ... else item[(rows, *part)])

    def field(self, name: str, field: str, rows: slice) -> np.ndarray:
        """Return rows of one field of a compound array; whole rows would be many times wider."""
        item = self[name]
        if field not in (item.dtype.names or ()):
            raise DataFileError(
                f"'{self.path}': '{name}' has no field '{field}'; {nearest(field, item.dtype.names or ())}"
            )
        if len(item) != self.n_rows:
            return self.rows(name, rows)
        return item.fields(field)[rows]


@contextmanager
def open_root(path: Path) -> Iterator[Any]:
    """Open a ROOT file for reading.

    uproot makes classes from what a file says of itself and keeps them, over its own, for every later file:
    after one damaged file sound ones could not be read. Here they go with their file.
    """
    import uproot

    own = _own_classes()
    try:
        with uproot.open(path) as file:
            yield file
    finally:
        for kept, entries in own:
            kept.clear()
            kept.update(entries)


@cache
def _own_classes() -> list[tuple[dict[Any, Any], dict[Any, Any]]]:
    """Where uproot keeps classes, and which they are before the first file: several may be open at once."""
    import uproot

    versions = (cls.known_versions for cls in uproot.classes.values() if hasattr(cls, "known_versions"))
    return [(kept, dict(kept)) for kept in (uproot.classes, *versions)]


@settings
class Reader:
    """Base of all readers; a subclass with a ``name`` is found under it by `make_reader`.

    Attributes
    ----------
    empty_jets
        ``drop`` jets without particles, with a logged count, or refuse them (``error``).
    bad_jets
        Refuse (``error``) jets with not-a-number, negative energy, non-positive pt, a negative mass or
        a label outside the classes, or ``drop`` them, with a logged count.
    """

    empty_jets: Literal["drop", "error"] = "drop"
    bad_jets: Literal["error", "drop"] = "error"

    name: ClassVar[str] = ""
    suffixes: ClassVar[tuple[str, ...]] = (".h5", ".hdf5")
    class_names: ClassVar[tuple[str, ...]] = ()
    origin: ClassVar[str] = "published"  # what the provenance of the jets says
    storage: ClassVar[Callable[[Path], AbstractContextManager[Any]]] = h5py.File
    counted: ClassVar[str] = ""  # the array whose length is the number of rows

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "name" in vars(cls):
            _READERS[cls.name] = cls

    @contextmanager
    def open(self, path: Path) -> Iterator[Rows]:
        """Open a file; its content is read only when rows are asked for."""
        with type(self).storage(path) as file:
            source = Source(file, path)
            source.n_rows = self.count_rows(source)
            yield Rows(source.n_rows, lambda start, stop: self.block(source, slice(start, stop)))

    def count_rows(self, source: Source) -> int:
        """Return the number of rows of an open file."""
        return len(source[self.counted]) if self.counted else source.file.n_rows

    def block(self, source: Source, rows: slice) -> RawJets:
        """Read some rows of an open file; a reader has this method, or its own `open`."""
        raise NotImplementedError

    def count(self, path: StrPath) -> int:
        """Return the number of rows of a file, empty and bad jets included."""
        with opened(self, path) as file:
            return file.n_rows

    def read(
        self, path: StrPath, *, start: int = 0, stop: int | None = None, max_particles: int | None = None
    ) -> Jets:
        """Read rows ``start:stop`` of a file; every jet has the column ``row``, its row in this file.

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
        path: StrPath,
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
        raw = self._without_bad(_mended(raw), path, (rows[0], len(names)))
        raw = replace(raw, jet={**raw.jet, "row": rows[0] + raw.row})
        provenance = {"source": self.origin, "reader": self.name, "file": path.name, "rows": list(rows)}
        jets = raw.to_jets(names, provenance | dict(raw.about))
        return jets if max_particles is None else jets.truncate(max_particles)

    def _without_bad(self, raw: RawJets, path: Path, about: tuple[int, int]) -> RawJets:
        """Refuse or drop bad jets, then empty ones; ``about``: first row, number of classes."""
        start, n_classes = about
        bad = np.zeros(len(raw.counts), dtype=bool)
        for what, where in _problems(raw, n_classes).items():
            if where.any() and self.bad_jets == "error":
                raise DataFileError(
                    f"'{path}', row {start + raw.row[np.argmax(where)]}: {what} "
                    f"({int(where.sum())} such rows in this block); repair the file, "
                    "or drop these jets with bad_jets='drop'"
                )
            bad |= where
        empty = (raw.counts == 0) & ~bad
        if empty.any() and self.empty_jets == "error":
            raise DataFileError(
                f"'{path}', row {start + raw.row[np.argmax(empty)]}: a jet without particles; "
                "repair the file, or drop such jets with empty_jets='drop'"
            )
        if empty.any() or bad.any():
            gone = empty | bad
            tell_left_out(
                path, int(gone.sum()), len(gone), f"{empty.sum()} without particles, {bad.sum()} bad"
            )
            return raw.select(~gone)
        return raw


def readers() -> dict[str, type[Reader]]:
    """Return all reader classes by the name that the catalogue uses.

    Every module of `omnilearn_lab.readers.published` is looked at, so that a reader is known as soon as
    its file lies there; a subclass defined elsewhere is known once its module is imported.

    Examples
    --------
    >>> readers()["top_tagging"].class_names
    ('QCD', 'top')
    """
    folder = importlib.import_module("omnilearn_lab.readers.published")
    for module in pkgutil.iter_modules(folder.__path__):
        importlib.import_module(f"{folder.__name__}.{module.name}")
    return dict(sorted(_READERS.items()))


def make_reader(name: str, **options: Any) -> Reader:
    """Return a reader by name.

    Parameters
    ----------
    name
        A key of `readers`.
    **options
        Fields of that reader's class.

    Raises
    ------
    CatalogError
        For an unknown name or option.

    Examples
    --------
    >>> make_reader("top_tagging", bad_jets="drop").bad_jets
    'drop'
    """
    if name == "atlas_omnifold":
        raise CatalogError("these files are tables without particles; read them with read_atlas_omnifold")
    apart = {"cosmobench": ("haloes", "load_universes"), "omol25": ("molecules", "load_molecules")}
    if name in apart:
        what, function = apart[name]
        raise CatalogError(f"these files hold {what}, not jets; read them with catalog.{function}")
    accepted = readers()
    if name not in accepted:
        raise CatalogError(f"there is no reader '{name}'; {nearest(name, accepted)}")
    fields = accepted[name].__dataclass_fields__
    for option in options:
        if option not in fields:
            raise CatalogError(f"reader '{name}' has no option '{option}'; {nearest(option, fields)}")
    return accepted[name](**options)


# ---- files that may be anything ------------------------------------------------------------------


@contextmanager
def opened(reader: Reader, path: StrPath) -> Iterator[Rows]:
    """Open a file with a reader; failures of the libraries below become `DataFileError`."""
    with reading(Path(path), reader.name), reader.open(Path(path)) as file:
        yield file


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
        When there is no such dataset, branch or column, or its size is not believable.
    """
    if name not in place:
        raise DataFileError(
            f"'{path}' has no '{name}'; {nearest(name, map(str, place.keys()))}; "
            "is it of another format, or an incomplete download?"
        )
    item = place[name]
    if hasattr(item, "nbytes") and hasattr(item, "id"):
        check_dataset(item, path, owner=place)
    return item


def count_entries(tree: Any, path: Path) -> int:
    """Return the number of entries of a ROOT tree, which must be believable for the size of the file."""
    n_rows = int(tree.num_entries)
    if n_rows < 0:
        raise DataFileError(f"'{path}': tree '{tree.name}' claims {n_rows} entries; fetch the file again")
    check_size(n_rows, path, tree.name)
    return n_rows


# ---- bad jets ------------------------------------------------------------------------------------


def _mended(raw: RawJets) -> RawJets:
    """Return the jets with masses that only rounding made negative set to zero."""
    if "mass" not in raw.jet:
        return raw
    mass = np.asarray(raw.jet["mass"])
    rounded = (mass < 0) & ~_is_bad_mass(raw)
    return replace(raw, jet={**raw.jet, "mass": np.where(rounded, 0, mass)}) if rounded.any() else raw


def _is_bad_mass(raw: RawJets) -> np.ndarray:
    """Which masses stand for "none" (-1), or are more negative than rounding makes them."""
    mass = np.asarray(raw.jet["mass"])
    return (mass == -1) | (mass < -_ROUNDING * np.abs(raw.jet.get("pt", 0.0)))


def _problems(raw: RawJets, n_classes: int) -> dict[str, np.ndarray]:
    """What is wrong, and with which jets: mask of shape (N,) by description."""
    wrong = {}
    for name, values in raw.particles.items():
        wrong[f"particle '{name}' is not finite"] = _jets_with(raw.counts, ~np.isfinite(_single(values)))
    filled = raw.counts > 0  # jets without particles have their own word
    for name, values in raw.jet.items():
        wrong[f"jet '{name}' is not finite"] = filled & ~np.isfinite(values)
    pt = raw.particles["pt"] if "pt" in raw.particles else np.hypot(raw.particles["px"], raw.particles["py"])
    wrong["a particle has negative energy"] = _jets_with(raw.counts, raw.particles["energy"] < 0)
    wrong["a particle has no transverse momentum"] = _jets_with(raw.counts, _single(pt) <= 0)
    if "pt" in raw.jet:
        wrong["the jet has no transverse momentum"] = filled & (_single(raw.jet["pt"]) <= 0)
    if "mass" in raw.jet:
        wrong["the jet's mass is negative (-1 often stands for 'none')"] = filled & _is_bad_mass(raw)
    if "label" in raw.jet and n_classes:
        label = np.asarray(raw.jet["label"])
        wrong[f"the label is outside 0 to {n_classes - 1}"] = (label < 0) | (label >= n_classes)
    return wrong


def _single(values: np.ndarray) -> np.ndarray:
    """Numbers in the precision in which jets keep them: the smallest become zero, the largest infinite."""
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(values).astype(np.float32, copy=False)


def _jets_with(counts: np.ndarray, flagged: np.ndarray) -> np.ndarray:
    """Turn a mask over particles into a mask over jets: any particle flagged."""
    index = np.repeat(np.arange(len(counts)), counts)
    return np.bincount(index[flagged], minlength=len(counts)) > 0


@settings
class ConvertOptions:
    """How `convert` works.

    Attributes
    ----------
    max_particles
        Slots per jet.
    max_jets
        Stop after so many.
    chunk
        Rows held in memory at once.
    fraction
        Part of each file's rows, such as (0.0, 0.8).

    Examples
    --------
    >>> ConvertOptions(max_jets=1000).max_particles
    150
    """

    max_particles: Annotated[int, Field(gt=0)] = 150
    max_jets: Annotated[int, Field(gt=0)] | None = None
    chunk: Annotated[int, Field(gt=0)] = 10_000
    fraction: tuple[float, float] = (0.0, 1.0)


def convert(
    paths: StrPath | Iterable[StrPath], out: StrPath, reader: Reader, *, options: ConvertOptions | None = None
) -> Path:
    """Write the jets of published files to one ML-ready file.

    Rows of the input files alternate block by block, so that files with one process each come
    out mixed; shuffle further when training. The file appears under its name only when complete.

    Parameters
    ----------
    paths
        One file or several.
    out
        Target, usually ``*.h5``.
    reader
        What understands the files, see `omnilearn_lab.readers.make_reader`.
    options

    Returns
    -------
    Path

    Raises
    ------
    DataFileError
        When a file is damaged, there are none, or the target cannot be written.
    """
    options = options or ConvertOptions()
    files = [Path(paths)] if isinstance(paths, str | os.PathLike) else [Path(p) for p in paths]
    if not files:
        raise DataFileError(f"nothing to convert to '{out}': the list of files is empty")
    blocks = _limited(_in_turn([_blocks(path, reader, options) for path in files]), options.max_jets)
    return write_jets(blocks, out, options.max_particles)


def _blocks(path: Path, reader: Reader, options: ConvertOptions) -> Iterator[Jets]:
    total = reader.count(path)
    start, stop = (round(edge * total) for edge in options.fraction)
    jets = reader.iterate(
        path, chunk=options.chunk, start=start, stop=stop, max_particles=options.max_particles
    )
    return (block for block in jets if len(block))


def _in_turn(sources: list[Iterator[Jets]]) -> Iterator[Jets]:
    while sources:
        for source in list(sources):
            block = next(source, None)
            if block is None:
                sources.remove(source)
            else:
                yield block


def _limited(blocks: Iterator[Jets], limit: int | None) -> Iterator[Jets]:
    missing = limit
    for block in blocks:
        yield block if missing is None else block[:missing]
        if missing is not None:
            missing -= min(missing, len(block))
            if missing == 0:
                return
