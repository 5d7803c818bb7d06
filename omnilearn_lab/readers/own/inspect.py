"""What is in a file, which preset fits it, and a column map to start from."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml

from omnilearn_lab.errors import DataFileError
from omnilearn_lab.machine import StrPath, reading
from omnilearn_lab.readers.base import open_root
from omnilearn_lab.readers.own.columns import ColumnMap, presets
from omnilearn_lab.readers.own.tables import Table, datasets, is_root, open_table, trees_in

_ROWS = 20
_MOST_COLUMNS = 4000
_SHOWN = 40
_WORDS = {  # our name, and how files call it
    "pt": "pt et",
    "eta": "eta",
    "phi": "phi",
    "px": "px momentum.x",
    "py": "py momentum.y",
    "pz": "pz momentum.z",
    "energy": "e energy en",
    "mass": "m mass",
    "deta": "deta etarel",
    "dphi": "dphi phirel",
    "pid": "pid pdgid pdg",
    "charge": "charge q",
    "d0": "d0 d0val dxy",
    "d0_err": "d0err d0error errord0 d0uncertainty",
    "dz": "dz dzval z0 z0sintheta",
    "dz_err": "dzerr dzerror errordz z0sinthetauncertainty",
    "mask": "mask valid",
}
_OURS = {word: ours for ours, words in _WORDS.items() for word in words.split()}
_MOMENTA = (("px", "py", "pz", "energy"), ("pt", "eta", "phi"), ("pt", "deta", "dphi"))
_LABEL = re.compile(r"label|class|truth|flavou?r|istop|issignal|is_signal|^y$|target|hadronflavour", re.I)
_EVENT = {"event": re.compile(r"^event(number)?$", re.I), "weight": re.compile(r"^(event_?)?weights?$", re.I)}
_PUBLISHED = {  # datasets that only one format has
    "ml_ready": ("data", "pid"),
    "jetnet": ("particle_features", "jet_features"),
    "atlas_top": ("fjet_clus_pt", "fjet_pt", "labels"),
    "atlas_flavour": ("jets.HadronConeExclTruthLabelID", "tracks.ftagTruthOriginLabel"),
    "cms_mod": ("jets_f", "pfcs", "pfcs_index"),
    "aspen": ("PFCands", "jet_kinematics"),
    "lhco_clustered": ("jet_data", "constituents", "mask"),
    "top_tagging": ("table/table.values_block_0",),
    "jetclass": ("part_px", "part_deta", "label_QCD", "jet_nparticles"),
}


@dataclass(frozen=True, repr=False)
class Inspection:
    """What a file holds, and how to read it.

    Attributes
    ----------
    path
    tables
        Rows by tree; of an HDF5 file, by dataset.
    columns
        Number type and layout by name, of the tree that was looked at.
    reader
        Name of the reader of a published format that fits; empty if none does.
    presets
        Presets whose columns are all there, the best one first.
    mapping
        Fields of a `ColumnMap` to start from; empty when none could be made.
    notes
        What the map takes for granted, and what is to be filled in.
    """

    path: Path
    tables: Mapping[str, int]
    columns: Mapping[str, str]
    reader: str
    presets: tuple[str, ...]
    mapping: Mapping[str, Any]
    notes: tuple[str, ...]

    def to_yaml(self) -> str:
        """Return the map as a YAML file, which every command takes with ``--columns``."""
        head = "".join(f"# {note}\n" for note in self.notes)
        return head + yaml.safe_dump(dict(self.mapping), sort_keys=False) if self.mapping else head

    def __repr__(self) -> str:
        tables = [f"  {name}: {rows:,} rows" for name, rows in list(self.tables.items())[:_SHOWN]]
        columns = [f"  {name}: {what}" for name, what in list(self.columns.items())[:_SHOWN]]
        more = [f"  ... and {len(self.columns) - _SHOWN:,} more"] if len(self.columns) > _SHOWN else []
        fits = [f"published format: {self.reader}"] if self.reader else []
        fits += [f"presets that fit: {', '.join(self.presets) or 'none'}"]
        lines = [str(self.path), "tables:", *tables, "columns:", *columns, *more, *fits, "", self.to_yaml()]
        return "\n".join(lines).rstrip()

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


def inspect(path: StrPath, *, tree: str = "") -> Inspection:
    """Look into a ROOT or HDF5 file and propose how to read jets from it.

    Parameters
    ----------
    path
    tree
        Of a ROOT file; the one with most columns when empty.

    Raises
    ------
    DataFileError
        When the file is missing or damaged, or neither ROOT nor HDF5.

    Examples
    --------
    >>> import h5py, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "mine.h5"
    >>> with h5py.File(path, "w") as file:
    ...     for name in ("pt", "eta", "phi"):
    ...         file[f"cand_{name}"] = np.ones((2, 3))
    ...     file["isTop"] = [0, 1]
    >>> inspect(path).mapping["particles"]
    {'pt': 'cand_pt', 'eta': 'cand_eta', 'phi': 'cand_phi'}
    """
    path = Path(path)
    with reading(path, "ROOT" if is_root(path) else "HDF5"), _opened(path, tree) as (table, tables):
        names = table.names[:_MOST_COLUMNS]
        presets = _fitting(table)
        published = [n for n, wanted in _PUBLISHED.items() if all(table.find(name) for name in wanted)]
        mapping, notes = _from_preset(presets[0]) if presets else _guess(table, names)
        if published:
            notes = (f"a published format: read it with --reader {published[0]}", *notes)
        columns = {name: _describe(table, name) for name in names[:_SHOWN]}
        columns |= dict.fromkeys(names[_SHOWN:], "")
        return Inspection(path, tables, columns, next(iter(published), ""), presets, mapping, notes)


@contextmanager
def _opened(path: Path, tree: str) -> Any:
    if not is_root(path):
        with h5py.File(path, "r") as file:
            lengths = {name: len(item) for name, item in datasets(file).items() if item.shape}
        with open_table(path) as table:
            yield table, lengths
        return
    with open_root(path) as file:
        rows = {key: int(file[key].num_entries) for key in trees_in(file)}
        if not rows:
            others = ", ".join(file.keys(cycle=False)[:10])
            raise DataFileError(f"'{path}' has no tree; it holds {others or 'nothing'}")
        widest = max(rows, key=lambda key: len(file[key].keys()))
    with open_table(path, tree or widest) as table:
        yield table, rows


def _fitting(table: Table) -> tuple[str, ...]:
    """Presets of which all needed columns are there; those that use most columns first."""
    fits = {
        name: sum(table.find(column) is not None for column in preset.used())
        for name, preset in presets().items()
        if all(table.find(column) for column in preset.needed())
    }
    return tuple(sorted(fits, key=lambda name: (-fits[name], "fatjet" not in name)))


def _from_preset(name: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The preset's fields that differ from the defaults, ready to be edited."""
    preset, plain = presets()[name], ColumnMap(particles={"pt": "", "eta": "", "phi": ""})
    changed = {n: v for n, v in asdict(preset).items() if v != getattr(plain, n)}
    return changed, (f"preset {name}; names that end in '?' are used if the file has them",)


def _guess(table: Table, names: list[str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A map from names that look like momenta: the largest lists are particles, single values are jets."""
    counters = {f"n{name}" for name in names}
    names = [name for name in names if name not in counters]
    depth = {name: _depth(table, name) for name in names}
    collections = _collections(names, depth)
    clouds = {key: group for key, group in collections.items() if key[1] > 0}
    if not clouds:
        return {}, ("no lists of momenta were found; write a map by hand, see ColumnMap",)
    chosen = max(clouds, key=lambda key: (key[1], depth[next(iter(clouds[key].values()))][1]))
    mapping: dict[str, Any] = {"particles": clouds[chosen]}
    notes = ["guessed from names: check it with a dry run"]
    mapping |= _guess_jets(collections, chosen, notes)
    single = [name for name in names if depth[name][0] == 0]
    for ours, pattern in _EVENT.items():
        matches = [name for name in single if pattern.match(name.rpartition("/")[2])]
        mapping["jet"] |= {ours: matches[0]} if matches else {}
    prefix = _split(next(iter(mapping["jet"].values()), ""))[0]  # of jets that are lists, labels are, too
    labels = [name for name in single if _LABEL.search(name.rpartition("/")[2])]
    labels += [n for n in names if depth[n][0] == 1 and prefix and n.startswith(prefix) and _LABEL.search(n)]
    if labels:
        mapping["jet"]["label"] = f"{labels[0]}?"  # files to be scored may have none
        mapping |= _label_fields(table, labels[0], notes)
    if is_root(table.path):
        mapping["tree"] = table.name
    notes.append("units: energies are guessed (MeV above a median jet pt of 7000), lengths are taken as mm")
    return {name: value for name, value in mapping.items() if value}, tuple(notes)


def _collections(
    names: list[str], depth: Mapping[str, tuple[int, float]]
) -> dict[tuple[str, int], dict[str, str]]:
    """Columns with a whole momentum among them, by common prefix and depth."""
    groups: dict[tuple[str, int], dict[str, str]] = {}
    for name in names:
        prefix, ours = _split(name)
        if ours:
            groups.setdefault((prefix, depth[name][0]), {}).setdefault(ours, name)
    return {
        key: {ours: group[ours] for ours in _WORDS if ours in group}
        for key, group in groups.items()
        if any(set(needed) <= set(group) for needed in _MOMENTA)
    }


def _guess_jets(
    collections: Mapping[tuple[str, int], dict[str, str]], particles: tuple[str, int], notes: list[str]
) -> dict[str, Any]:
    """The collection of jets: single values, or lists beside those of the particles."""
    level = particles[1]
    jets = {
        key: group
        for key, group in collections.items()
        if key != particles and "deta" not in group and (key[1] < level or key[1] == level == 1)
    }
    if not jets:
        return {"jet": {}}
    chosen = max(jets, key=lambda key: (key[1], "jet" in key[0].lower()))
    kept = ("pt", "eta", "phi", "mass") if "pt" in jets[chosen] else ("px", "py", "pz", "energy")
    mapping: dict[str, Any] = {"jet": {ours: jets[chosen][ours] for ours in kept if ours in jets[chosen]}}
    if chosen[1] == level == 1:
        mapping["radius"] = 0.4
        notes.append("rows are events: particles go to the nearest jet within radius; set it, or jet_index")
    return mapping


def _label_fields(table: Table, name: str, notes: list[str]) -> dict[str, Any]:
    values = np.unique(table.column(name, 0, min(table.n_rows, 100_000)).values)
    if values.dtype.kind in "US":
        return {"class_names": [str(value) for value in values]}
    if len(values) > 50 or np.any(values != np.rint(values)):
        notes.append(f"'{name}' has no class numbers; give the label another name for a regression")
        return {}
    codes = [int(value) for value in values]
    if codes == list(range(len(codes))):
        notes.append("class_names: give the classes their names")
        return {"class_names": [f"class {code}" for code in codes]}
    notes.append("labels: give the classes their names")
    return {"labels": {code: f"class {code}" for code in codes}}


def _split(name: str) -> tuple[str, str]:
    """Take a column's name apart into collection and quantity: ``FatJet_pt`` is ``FatJet_`` and ``pt``."""
    lower = name.lower()
    for word in sorted(_OURS, key=len, reverse=True):
        if lower == word or re.search(rf"[_./]{re.escape(word)}$", lower):
            return name[: len(name) - len(word)], _OURS[word]
    return name, ""


def _depth(table: Table, name: str) -> tuple[int, float]:
    """How deep a column is nested (-1: it cannot be read), and how many entries a row has."""
    try:
        column = table.column(name, 0, min(_ROWS, table.n_rows))
    except Exception:  # whatever the library makes of a stranger's column
        return -1, 0.0
    if column.counts is None:
        return 0, 1.0
    counts = column.counts if column.inner is None else column.inner
    return 1 if column.inner is None else 2, float(np.mean(counts)) if len(counts) else 0.0


def _describe(table: Table, name: str) -> str:
    depth, size = _depth(table, name)
    if depth < 0:
        return "cannot be read as a column"
    kind = table.column(name, 0, min(_ROWS, table.n_rows)).values.dtype
    return f"{kind}" if depth == 0 else f"{'lists of ' * depth}{kind}, about {size:.0f} each"
