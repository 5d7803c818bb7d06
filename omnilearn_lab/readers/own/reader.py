"""Your own jets: ROOT and HDF5 files of any layout, with a map of column names."""

from __future__ import annotations

import html
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from omnilearn_lab.errors import DataFileError
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import StrPath, reading
from omnilearn_lab.readers.base import RawJets, Reader, Rows
from omnilearn_lab.readers.own.association import Flat, gather
from omnilearn_lab.readers.own.columns import ColumnMap, column_map
from omnilearn_lab.readers.own.labels import Labels, flagged, understand_labels
from omnilearn_lab.readers.own.physics import as_our_columns, puppi_helps, weighted
from omnilearn_lab.readers.own.tables import Table, open_table
from omnilearn_lab.settings import settings

log = logging.getLogger(__name__)
_MEV_ABOVE = 7000.0  # no jet of a present collider has this pt in GeV
_FIRST_ROWS = 200


@settings
class OwnFormat(Reader):
    """A reader for files described by a `ColumnMap`; streams and converts like all others.

    Every jet has the column ``row``: the row of the file that it came from, a jet or an event. Jets of events
    have ``rank``, too: their place among the jets of the event. `add_columns` finds the way back with them.

    Attributes
    ----------
    columns : ColumnMap

    Examples
    --------
    >>> OwnFormat(columns=column_map("pfnano")).columns.tree
    'Events'
    """

    columns: ColumnMap = field(default_factory=lambda: column_map("nanoaod"))

    name: ClassVar[str] = "own"
    origin: ClassVar[str] = "own file"
    suffixes: ClassVar[tuple[str, ...]] = (".root", ".h5", ".hdf5")

    @contextmanager
    def open(self, path: Path) -> Iterator[Rows]:
        """Open the file; units, weights and labels are settled from its first rows."""
        with open_plan(self, path) as plan:
            yield Rows(plan.table.n_rows, plan.rows)


@dataclass
class Plan:
    """How the rows of one open file are read: its columns as they are there, units, weights, labels."""

    table: Table
    columns: ColumnMap
    labels: Labels
    is_weighted: bool

    def rows(self, start: int, stop: int) -> RawJets:
        """Read rows ``start:stop``."""
        flat = self.flat(start, stop)
        jet = {} if flat.rank is None else {"rank": flat.rank}
        jet |= {name: values for name, values in flat.jet.items() if name != "label"}
        if "label" in flat.jet:
            jet["label"] = self.labels.numbers(flat.jet["label"])
        elif self.columns.flags:
            jet["label"] = flagged(self.table, self.columns, (start, stop))
        elif self.columns.label is not None:
            jet["label"] = np.full(len(flat.counts), self.columns.label)
        particles, jet = as_our_columns(flat._replace(jet=jet), self.columns, self.table.path)
        about = {"label_map": dict(self.labels.meaning)} if self.labels.meaning else {}
        return RawJets(particles, flat.counts, jet, flat.rows, self.labels.class_names, about)

    def flat(self, start: int, stop: int) -> Flat:
        """Read rows as the file names their units, with the weights of the particles applied."""
        return weighted(gather(self.table, self.columns, (start, stop)), apply=self.is_weighted)


@contextmanager
def open_plan(reader: OwnFormat, path: Path) -> Iterator[Plan]:
    """Open a file and decide, from its first rows, what its columns mean."""
    with open_table(path, reader.columns.tree, reader.columns.needed()) as table:
        columns = present(table, reader.columns)
        first = gather(table, columns, (0, min(table.n_rows, _FIRST_ROWS)))
        is_weighted = columns.puppi == "apply" or (columns.puppi == "auto" and puppi_helps(first))
        columns = replace(columns, unit=_unit(first, columns, table))
        strict = reader.bad_jets == "error"
        yield Plan(table, columns, understand_labels(table, columns, is_strict=strict), is_weighted)


def present(table: Table, columns: ColumnMap) -> ColumnMap:
    """Return the map with the file's spelling, without the optional columns that the file lacks."""

    def kept(names: Mapping[str, str]) -> dict[str, str]:
        spelt = {n: v if v.startswith("=") else table.find(v.removesuffix("?")) for n, v in names.items()}
        return {
            ours: spelt[ours] or name
            for ours, name in names.items()
            if spelt[ours] is not None or not name.endswith("?")
        }

    jet = kept(columns.jet)
    return replace(
        columns,
        particles=kept(columns.particles),
        jet=jet,
        labels=columns.labels if "label" in jet else {},
        more=tuple(kept(names) for names in columns.more),
    )


def _unit(first: Flat, columns: ColumnMap, table: Table) -> str:
    """Return ``GeV`` or ``MeV``: the one given, else judged by the median jet pt of the first rows."""
    if columns.unit != "auto":
        return columns.unit
    pt = first.jet["pt"] if "pt" in first.jet else _sum_pt(first)
    unit = "MeV" if len(pt) and np.median(pt) > _MEV_ABOVE else "GeV"
    log.info("'%s': median jet pt is %.4g, taken as %s", table.name, np.median(pt) if len(pt) else 0, unit)
    return unit


def _sum_pt(flat: Flat) -> np.ndarray:
    columns = flat.particles
    if "q_over_p" in columns:
        pt = np.abs(
            np.sin(columns["theta"]) / np.where(columns["q_over_p"] != 0, columns["q_over_p"], np.inf)
        )
    else:
        pt = columns["pt"] if "pt" in columns else np.hypot(columns["px"], columns["py"])
    index = np.repeat(np.arange(len(flat.counts)), flat.counts)
    return np.bincount(index, weights=pt, minlength=len(flat.counts))[flat.counts > 0]


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
        raw = self.jets.jet["pt"] * (1 - self.jets.jet.get("raw_factor", 0.0))
        return float(np.median(np.hypot(*total) / raw))

    def _row(self, i: int) -> str:
        jet = self.jets.jet
        values = ", ".join(f"{n} {jet[n][i]:.4g}" for n in ("pt", "eta", "phi", "mass"))
        return f"  jet {i}: {values}, {self.jets.counts[i]} particles"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>{self.jets._repr_html_()}"


Paths = StrPath | Iterable[StrPath]


def from_file(
    path: Paths,
    mapping: ColumnMap | Mapping[str, Any] | str,
    *,
    start: int = 0,
    stop: int | None = None,
    dry_run: bool = False,
    **options: Any,
) -> Jets | DryRun:
    """Read jets from ROOT or HDF5 files of your own.

    Columns are branches of a tree; in HDF5, datasets (``"jets/pt"``), fields of compound datasets
    (``"tracks.pt"``) or single columns of larger arrays (``"data[3]"``). Padding is where ``mask`` is
    false, or, without a mask, where pt (or the momentum) is 0.

    Parameters
    ----------
    path
        A file, a pattern such as ``"data/*.root"``, or a list of these. Of several files, every jet has the
        column ``file``: the place of its file in the list.
    mapping
        A `ColumnMap`, a mapping of its fields, or the name of one of `presets`.
    start, stop
        Rows of each file: jets or events.
    dry_run
        Read the first rows of the first file only and return what was understood.
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
        When a file is missing or damaged, lacks a column, or holds bad jets.
    """
    reader = OwnFormat(columns=column_map(mapping), **options)
    files = expand(path)
    if dry_run:
        return _dry_run(files[0], reader, start)
    jets = [reader.read(file, start=start, stop=stop) for file in files]
    if len(files) == 1:
        return jets[0]
    names = [names for names in {part.class_names for part in jets} if names]
    ordered = sorted(set().union(*names)) if len(names) > 1 else next(iter(names), ())
    parts = [part.with_classes(ordered) if part.class_names else part for part in jets]
    marked = [part.with_jet(file=np.full(len(part), i)) for i, part in enumerate(parts)]
    joined = Jets.concatenate(marked)
    return replace(joined, provenance={**joined.provenance, "file": [file.name for file in files]})


def expand(path: Paths) -> list[Path]:
    """Return the files that a path, a pattern or a list of them stands for.

    Raises
    ------
    DataFileError
        When there is none.

    Examples
    --------
    >>> [file.name for file in expand(["a.root", "b.root"])]
    ['a.root', 'b.root']
    """
    several = [path] if isinstance(path, str | os.PathLike) else list(path)
    files: list[Path] = []
    for one in several:
        text = os.fspath(one)
        is_pattern = any(sign in text for sign in "*?[") and not Path(text).exists()
        files += _matches(Path(text)) if is_pattern else [Path(text)]
    if not files:
        raise DataFileError(
            f"no file fits {', '.join(repr(os.fspath(one)) for one in several) or 'an empty list'}"
        )
    return files


def _matches(pattern: Path) -> list[Path]:
    """Files that fit a pattern, of which any part may hold ``*``, ``?``, ``[`` or ``**``."""
    root = Path(pattern.anchor or ".")
    parts = pattern.relative_to(root) if pattern.anchor else pattern
    return sorted(match for match in root.glob(str(parts)) if match.is_file())


def _dry_run(path: Path, reader: OwnFormat, start: int) -> DryRun:
    with reading(path, reader.name), open_plan(reader, path) as plan:
        table, mapped = plan.table, plan.columns
        names = {**mapped.particles, **{f"jet {ours}": theirs for ours, theirs in mapped.jet.items()}}
        names |= {f"class {ours}": theirs for ours, theirs in mapped.flags.items()}
        layout = gather(table, mapped, (0, min(1, table.n_rows))).layout
        if "puppi_weight" in mapped.particles:
            layout += f"; PUPPI weights are {'applied' if plan.is_weighted else 'not applied'}"
        guessed = f"{mapped.unit} (guessed)" if reader.columns.unit == "auto" else mapped.unit
        unused = tuple(name for name in table.names if name not in mapped.used())
        jets = reader.read(path, start=start, stop=start + _FIRST_ROWS)
        return DryRun(path, table.name, table.n_rows, layout, guessed, names, unused, jets)
