"""Your own jets: ROOT and HDF5 files of any layout, with a map of column names."""

from __future__ import annotations

import html
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from omnilearn_lab.errors import DataFileError
from omnilearn_lab.jets import Jets
from omnilearn_lab.jets.species import charge_of, reduce_pid
from omnilearn_lab.readers.base import RawJets, Reader, Rows, Source, opened
from omnilearn_lab.readers.own.association import Flat, gather
from omnilearn_lab.readers.own.columns import ColumnMap, column_map
from omnilearn_lab.readers.own.tables import Table, open_table
from omnilearn_lab.settings import settings

log = logging.getLogger(__name__)
_MEV_ABOVE = 7000.0  # no jet of a present collider has this pt in GeV
_MOMENTA = ("pt", "px", "py", "pz", "energy", "mass")
_FIRST_ROWS = 200


@settings
class OwnFormat(Reader):
    """A reader for files described by a `ColumnMap`; streams and converts like all others.

    Attributes
    ----------
    columns : ColumnMap

    Examples
    --------
    >>> OwnFormat(columns=column_map("nanoaod")).columns.tree
    'Events'
    """

    columns: ColumnMap = field(default_factory=lambda: column_map("nanoaod"))

    name: ClassVar[str] = "own"
    origin: ClassVar[str] = "own file"
    suffixes: ClassVar[tuple[str, ...]] = (".root", ".h5", ".hdf5")

    @property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the classes."""
        return tuple(self.columns.class_names)

    @contextmanager
    def open(self, path: Path) -> Iterator[Rows]:
        """Open the file and settle the unit of energy from its first rows."""
        with open_table(path, self.columns.tree) as table:
            columns = replace(self.columns, unit=guess_unit(table, self.columns))
            yield Rows(table.n_rows, lambda start, stop: _rows(table, columns, (start, stop)))

    def block(self, source: Source, rows: slice) -> RawJets:
        """Read some rows of an open table."""
        return _rows(source.file, self.columns, (rows.start, rows.stop))


def guess_unit(table: Table, columns: ColumnMap) -> str:
    """Return ``GeV`` or ``MeV``: the one given, else judged by the median jet pt of the first rows."""
    if columns.unit != "auto" or not table.n_rows:
        return "GeV" if columns.unit == "auto" else columns.unit
    flat = gather(table, columns, (0, min(table.n_rows, _FIRST_ROWS)))
    pt = flat.jet["pt"] if "pt" in flat.jet else _sum_pt(flat)
    unit = "MeV" if len(pt) and np.median(pt) > _MEV_ABOVE else "GeV"
    log.info("'%s': median jet pt is %.4g, taken as %s", table.name, np.median(pt) if len(pt) else 0, unit)
    return unit


def _sum_pt(flat: Flat) -> np.ndarray:
    columns = flat.particles
    pt = columns["pt"] if "pt" in columns else np.hypot(columns["px"], columns["py"])
    index = np.repeat(np.arange(len(flat.counts)), flat.counts)
    return np.bincount(index, weights=pt, minlength=len(flat.counts))[flat.counts > 0]


def _rows(table: Table, columns: ColumnMap, rows: tuple[int, int]) -> RawJets:
    flat = gather(table, columns, rows)
    scale = 1e-3 if columns.unit == "MeV" else 1.0
    particles = {n: v * scale if n in _MOMENTA else v for n, v in flat.particles.items()}
    jet = {n: v * scale if n in ("pt", "mass") else v for n, v in flat.jet.items()}
    if columns.label is not None:
        jet["label"] = np.full(len(flat.counts), columns.label)
    if "pid" in particles:
        code = np.rint(particles["pid"]).astype(np.int64)
        particles["pid"] = reduce_pid(code, particles.get("charge"))
        particles.setdefault("charge", charge_of(particles["pid"]))
    if "deta" in particles:
        return RawJets(
            _relative(particles, flat.counts, jet), flat.counts, _axis(jet, flat.counts), flat.rows
        )
    return RawJets(_cartesian(particles), flat.counts, jet, flat.rows)


def _axis(jet: dict[str, np.ndarray], counts: np.ndarray) -> dict[str, np.ndarray]:
    zero = np.zeros(len(counts))
    if "pt" not in jet:
        raise DataFileError("particles relative to a jet need the jet's pt; map it with jet={'pt': ...}")
    return {"eta": zero, "phi": zero, "mass": zero, **jet}


def _relative(
    particles: dict[str, np.ndarray], counts: np.ndarray, jet: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    kept = {name: values for name, values in particles.items() if name != "mass"}
    eta = particles["deta"] + np.repeat(jet.get("eta", np.zeros(len(counts))), counts)
    kept.setdefault("energy", np.hypot(particles["pt"] * np.cosh(eta), particles.get("mass", 0.0)))
    return kept


def _cartesian(particles: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if "px" in particles:
        return {
            name: values for name, values in particles.items() if name not in ("pt", "mass", "eta", "phi")
        }
    pt, eta, phi = (particles[name].astype(np.float64) for name in ("pt", "eta", "phi"))
    energy = particles.get("energy")
    if energy is None:
        energy = np.hypot(pt * np.cosh(eta), particles.get("mass", 0.0))
    others = {n: v for n, v in particles.items() if n not in ("pt", "eta", "phi", "mass", "energy")}
    return {
        "px": pt * np.cos(phi),
        "py": pt * np.sin(phi),
        "pz": pt * np.sinh(eta),
        "energy": energy,
        **others,
    }


@dataclass(frozen=True, repr=False)
class DryRun:
    """What was understood of a file, without reading all of it.

    Attributes
    ----------
    path, table
        File, and tree in it.
    n_rows
        Rows of the file: jets, or events.
    layout
        How rows, jets and particles belong together.
    unit
        Given or guessed.
    columns
        Our name and the file's.
    unused
        Columns of the file that are not mapped.
    jets
        The first jets.
    """

    path: Path
    table: str
    n_rows: int
    layout: str
    unit: str
    columns: Mapping[str, str]
    unused: tuple[str, ...]
    jets: Jets

    def __repr__(self) -> str:
        pt = self.jets.jet["pt"]
        lines = [
            f"{self.path.name}, '{self.table}': {self.n_rows:,} rows; {self.layout}",
            f"unit: {self.unit}; median jet pt {np.median(pt) if len(pt) else 0:.4g} GeV; "
            f"sum of particle pt / jet pt: {self._closure():.3f}",
            *(f"  {ours:16} <- {theirs}" for ours, theirs in self.columns.items()),
            f"not used: {', '.join(self.unused) or 'nothing'}",
            f"first jets: {self.jets.summary()}",
        ]
        return "\n".join(lines + [self._row(i) for i in range(min(3, len(self.jets)))])

    def _closure(self) -> float:
        if not len(self.jets):
            return 0.0
        px, py, _, _ = self.jets.cartesian()
        total = [np.bincount(self.jets.jet_index, weights=p, minlength=len(self.jets)) for p in (px, py)]
        return float(np.median(np.hypot(*total) / self.jets.jet["pt"]))

    def _row(self, i: int) -> str:
        jet = self.jets.jet
        values = ", ".join(f"{n} {jet[n][i]:.4g}" for n in ("pt", "eta", "phi", "mass"))
        return f"  jet {i}: {values}, {self.jets.counts[i]} particles"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>{self.jets._repr_html_()}"


def from_file(
    path: str | os.PathLike[str],
    mapping: ColumnMap | Mapping[str, Any] | str,
    *,
    start: int = 0,
    stop: int | None = None,
    dry_run: bool = False,
    **options: Any,
) -> Jets | DryRun:
    """Read jets from a ROOT or HDF5 file of your own.

    Columns are branches of a tree; in HDF5, datasets (``"jets/pt"``), fields of compound datasets
    (``"tracks.pt"``) or single columns of larger arrays (``"data[3]"``). Padding is where ``mask`` is
    false, or, without a mask, where pt (or the momentum) is 0.

    Parameters
    ----------
    path
    mapping
        A `ColumnMap`, a mapping of its fields, or the name of one of `PRESETS`.
    start, stop
        Rows of the file: jets or events.
    dry_run
        Read the first rows only and return what was understood.
    **options
        ``empty_jets`` and ``bad_jets``, as for every reader.

    Returns
    -------
    Jets or DryRun

    Raises
    ------
    ConfigError
        For an incomplete mapping, or an unknown preset or option.
    DataFileError
        When the file is missing or damaged, lacks a column, or holds bad jets.
    """
    return _from_file(Path(path), OwnFormat(columns=column_map(mapping), **options), (start, stop), dry_run)


def _from_file(path: Path, reader: OwnFormat, rows: tuple[int, int | None], dry_run: bool) -> Jets | DryRun:
    if not dry_run:
        return reader.read(path, start=rows[0], stop=rows[1])
    with opened(reader, path), open_table(path, reader.columns.tree) as table:
        mapped = reader.columns
        unit = guess_unit(table, mapped)
        names = {**mapped.particles, **{f"jet {ours}": theirs for ours, theirs in mapped.jet.items()}}
        used = {*names.values(), mapped.jet_index, mapped.candidate_index}
        used |= {name for further in mapped.more for name in further.values()}
        layout = gather(table, mapped, (0, min(1, table.n_rows))).layout
        return DryRun(
            path,
            table.name,
            table.n_rows,
            layout,
            unit if mapped.unit != "auto" else f"{unit} (guessed)",
            names,
            tuple(name for name in table.names if name not in used),
            reader.read(path, start=rows[0], stop=rows[0] + _FIRST_ROWS),
        )
