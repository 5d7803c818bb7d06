"""Write scores beside the columns of the file that the jets came from."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from omnilearn_lab.errors import DataFileError, is_file, nearest
from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import StrPath, atomic_hdf5, atomic_path, check_disk, make_folder, reading
from omnilearn_lab.readers.base import open_root
from omnilearn_lab.readers.own.tables import HDF5_ENDINGS, ROOT_ENDINGS, datasets, find_tree, trees_in

log = logging.getLogger(__name__)
_STEP_BYTES = 1 << 26
_STEP_ROWS = 20_000  # where a tree does not say how large its rows are

Places = Jets | Mapping[str, np.ndarray]


def add_columns(
    source: StrPath,
    target: StrPath,
    columns: Mapping[str, Any],
    *,
    tree: str = "",
    jets: Places | None = None,
    aligned_with: str = "",
) -> Path:
    """Copy a ROOT or HDF5 file with further columns, one value per row, or per jet of each event.

    The source is only read; the target appears when it is complete. ROOT files are copied in blocks. What
    cannot be copied (branches that uproot cannot read or write, other objects of the file) is named
    in a warning, before anything is written.

    Parameters
    ----------
    source
        Ends in ``.root``, ``.h5`` or ``.hdf5``.
    target
        Another file with the same ending.
    columns
        Name to values, shape (rows,) or (rows, K); with ``jets``, one value for each of these. In HDF5 files
        a name may hold groups: ``"jets/score"``.
    tree
        The ROOT tree to copy and extend; the only one when empty.
    jets
        The jets that the values belong to, or their columns ``row`` and, of events, ``rank``. Rows, and jets
        of events, that are not among them get not-a-number.
    aligned_with
        A column with an entry for each jet, such as ``"FatJet_pt"``: needed for events in ROOT files, and
        useful in HDF5 files with datasets of several lengths. New columns have as many entries.

    Returns
    -------
    Path
        The target.

    Raises
    ------
    DataFileError
        When the endings differ or are unknown, source and target are one file, a name is taken, a
        column has another number of rows, or the disk is full.

    Examples
    --------
    >>> import h5py, tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with h5py.File(folder / "mine.h5", "w") as file:
    ...     file["jets/pt"] = [500.0, 600.0]
    >>> made = add_columns(folder / "mine.h5", folder / "scored.h5", {"jets/score": [0.1, 0.9]})
    >>> with h5py.File(made) as file:
    ...     sorted(file["jets"])
    ['pt', 'score']
    """
    source, target = Path(source), Path(target)
    ending = source.suffix.lower()
    if ending not in (*ROOT_ENDINGS, *HDF5_ENDINGS) or target.suffix.lower() != ending:
        raise DataFileError(
            f"'{source}' to '{target}': both must have the same ending, one of "
            f"{', '.join((*ROOT_ENDINGS, *HDF5_ENDINGS))}"
        )
    if is_file(target) and is_file(source) and source.samefile(target):
        raise DataFileError(f"'{source}' would be overwritten; give the target another name")
    values = {name: np.asarray(column) for name, column in columns.items()}
    write = _write_root if ending in ROOT_ENDINGS else _write_hdf5
    with reading(source, "ROOT" if write is _write_root else "HDF5"):
        make_folder(target.parent)
        write(source, target, New(values, _places(jets, values, source), aligned_with), tree)
    return target


@dataclass(frozen=True)
class New:
    """New columns, and where their values belong.

    ``row``, ``rank`` : of every value; none where values stand for all rows in order.
    """

    columns: Mapping[str, np.ndarray]
    place: tuple[np.ndarray, np.ndarray | None] | None
    aligned_with: str

    def on_rows(self, n_rows: int, source: Path) -> dict[str, np.ndarray]:
        """Return the columns with one entry for each row of the file."""
        if self.place is None:
            for name, values in self.columns.items():
                if len(values) != n_rows:
                    raise DataFileError(
                        f"column '{name}' has {len(values)} values and '{source}' has {n_rows} rows; say "
                        "which jets they are of with jets=... (some were not read: empty or bad ones)"
                    )
            return dict(self.columns)
        row, rank = self.place
        if rank is not None:
            raise DataFileError(
                f"'{source}' has several jets in a row; name a branch of these jets with aligned_with=..., "
                "such as 'FatJet_pt'"
            )
        _check_place(row, n_rows, source)
        return {name: _filled(values, row, n_rows) for name, values in self.columns.items()}


def _places(jets: Places | None, columns: Mapping[str, np.ndarray], source: Path) -> Any:
    if jets is None:
        return None
    table = jets.jet if isinstance(jets, Jets) else jets
    if "row" not in table:
        raise DataFileError(
            f"jets have no column 'row', which says where in '{source}' they came from; "
            f"{nearest('row', table)}"
        )
    row = np.asarray(table["row"], dtype=np.int64)
    for name, values in columns.items():
        if len(values) != len(row):
            raise DataFileError(f"column '{name}' has {len(values)} values for {len(row)} jets")
    return row, np.asarray(table["rank"], dtype=np.int64) if "rank" in table else None


def _check_place(place: np.ndarray, size: int, source: Path) -> None:
    if len(place) and (place.min() < 0 or place.max() >= size):
        raise DataFileError(
            f"jets are of rows up to {place.max()} and '{source}' has {size}; were they read from "
            "another file?"
        )
    if len(np.unique(place)) != len(place):
        raise DataFileError(f"two jets are of the same place in '{source}'; give every jet once")


def _filled(values: np.ndarray, place: np.ndarray, size: int) -> np.ndarray:
    """Return values at their places, and not-a-number elsewhere."""
    kind = values.dtype if values.dtype.kind == "f" else np.float64
    full = np.full((size, *values.shape[1:]), np.nan, dtype=kind)
    full[place] = values
    return full


# ---- HDF5 ----------------------------------------------------------------------------------------


def _write_hdf5(source: Path, target: Path, new: New, _: str) -> None:
    with atomic_hdf5(target, copy_of=source) as file:
        taken: list[str] = []
        file.visit(taken.append)
        _check_names(new.columns, taken, source)
        shape = _shape(file, new)
        is_grid = new.place is not None and new.place[1] is not None and len(shape) > 1
        made = _on_grid(new, shape[:2], source) if is_grid else new.on_rows(shape[0], source)
        for name, values in made.items():
            file[name] = values
            check_disk(file)


def _shape(file: Any, new: New) -> tuple[int, ...]:
    """The shape of the dataset to align with, else the length that most datasets share."""
    items = {name: item for name, item in datasets(file).items() if item.shape}
    if new.aligned_with:
        bare = re.sub(r"\[\d+\]$", "", new.aligned_with)
        item = items.get(bare) or items.get(bare.rpartition(".")[0])
        if item is None:
            raise DataFileError(f"there is no dataset '{bare}'; {nearest(bare, items)}")
        return item.shape
    lengths = [len(item) for item in items.values()]
    given = {len(values) for values in new.columns.values()}
    if not lengths or (new.place is None and len(given) == 1 and given <= set(lengths)):
        return (given.pop(),)
    return (max(set(lengths), key=lengths.count),)


def _on_grid(new: New, shape: tuple[int, int], source: Path) -> dict[str, np.ndarray]:
    """Columns of events whose jets are padded to the same number, shape (events, jets)."""
    row, rank = new.place
    if len(row) and (row.max() >= shape[0] or rank.max() >= shape[1]):
        raise DataFileError(
            f"jets are of events or places beyond the {shape} of '{source}'; is it another file?"
        )
    place = row * shape[1] + rank
    _check_place(place, shape[0] * shape[1], source)
    return {
        name: _filled(values, place, shape[0] * shape[1]).reshape(*shape, *values.shape[1:])
        for name, values in new.columns.items()
    }


def _check_names(columns: Mapping[str, np.ndarray], taken: list[str], source: Path) -> None:
    for name in columns:
        if name in taken:
            raise DataFileError(f"'{source}' already has a column '{name}'; choose another name")


# ---- ROOT ----------------------------------------------------------------------------------------


def _write_root(source: Path, target: Path, new: New, tree: str) -> None:
    import uproot

    with open_root(source) as file:
        chosen = find_tree(file, source, tree)
        copy = _TreeCopy(chosen, source)
        _check_names(new.columns, [*copy.names, *copy.lost], source)
        columns = _of_events(chosen, new, source) if new.place and new.place[1] is not None else None
        columns = new.on_rows(int(chosen.num_entries), source) if columns is None else columns
        path = _path_in(file, chosen)
        others = [_TreeCopy(file[key], source) for key in trees_in(file) if key != path]
        _warn(source, file, copy, [path, *(_path_in(file, other.tree) for other in others)])
        with atomic_path(target) as partial, uproot.recreate(partial) as made:
            copy.write(made, path, columns)
            for other in others:
                other.write(made, _path_in(file, other.tree), {})


def _of_events(tree: Any, new: New, source: Path) -> dict[str, Any]:
    """Return jagged columns with one entry for each jet of each event."""
    import awkward as ak

    names = {name.casefold(): name for name in tree.keys(full_paths=False)}
    if new.aligned_with.casefold() not in names:
        raise DataFileError(
            f"'{source}': values are of jets of events; name a branch of these jets with aligned_with=...; "
            f"{nearest(new.aligned_with, names.values())}"
        )
    counts = np.asarray(ak.num(tree[names[new.aligned_with.casefold()]].array()))
    row, rank = new.place
    first = np.cumsum(counts) - counts
    if len(row) and (row.min() < 0 or row.max() >= len(counts) or np.any((rank < 0) | (rank >= counts[row]))):
        raise DataFileError(
            f"jets are of events or places that '{source}' does not have in '{new.aligned_with}'; were they "
            "read from another file, or of another collection?"
        )
    place = first[row] + rank
    _check_place(place, int(counts.sum()), source)
    return {
        name: ak.unflatten(_filled(values, place, int(counts.sum())), counts)
        for name, values in new.columns.items()
    }


class _TreeCopy:
    """A tree that is copied in blocks, with what can be read and written of it.

    Attributes
    ----------
    names
        Branches that are copied.
    lost
        Branches that are not, with the reason.
    """

    def __init__(self, tree: Any, source: Path) -> None:
        self.tree, self._source = tree, source
        self.is_ntuple = "RNTuple" in type(tree).__name__ or "RNTuple" in tree.classname
        self.names: list[str] = []
        self.lost: dict[str, str] = {}
        counters = {} if self.is_ntuple else _counters(tree)
        self._collections = _collections(counters)
        for name in dict.fromkeys(tree.keys(full_paths=False)):
            if name in counters.values():  # uproot writes lengths of lists itself
                continue
            reason = _why_not(tree, name, self.is_ntuple)
            if reason is None:
                self.names.append(name)
            elif reason:
                self.lost[name] = reason

    def write(self, file: Any, path: str, columns: Mapping[str, Any]) -> None:
        """Write the tree with further columns, block by block."""
        n_rows = int(self.tree.num_entries)
        step = self._step()
        made = None
        for start in range(0, max(n_rows, 1), step):
            stop = min(start + step, n_rows)
            block = {name: self.tree[name].array(entry_start=start, entry_stop=stop) for name in self.names}
            block |= {name: values[start:stop] for name, values in columns.items()}
            block = self._grouped(block)
            if made is None:
                made = self._make(file, path, block)
            if stop > start:
                made.extend(block)

    def _grouped(self, block: dict[str, Any]) -> dict[str, Any]:
        """Join branches of a collection (``Jet_pt``, ``Jet_eta``): they keep one length, ``nJet``."""
        import awkward as ak

        grouped = dict(block)
        for prefix in self._collections:
            members = {
                n: v for n, v in block.items() if n.startswith(f"{prefix}_") and getattr(v, "ndim", 1) == 2
            }
            if not members or prefix in grouped:
                continue
            if len({tuple(ak.num(values).to_list()) for values in members.values()}) > 1:
                continue  # named alike, and no collection
            short = {name.removeprefix(prefix + "_"): values for name, values in members.items()}
            grouped = {name: values for name, values in grouped.items() if name not in members}
            grouped[prefix] = ak.zip(short)
        return grouped

    def _step(self) -> int:
        size = getattr(self.tree, "uncompressed_bytes", 0) / max(int(self.tree.num_entries), 1)
        return max(1, int(_STEP_BYTES / size)) if size else _STEP_ROWS

    def _make(self, file: Any, path: str, block: Mapping[str, Any]) -> Any:
        import awkward as ak

        types = {name: ak.type(ak.Array(values)).content for name, values in block.items()}
        if self.is_ntuple:
            return file.mkrntuple(path, {name: ak.Array(values)[:0] for name, values in block.items()})
        taken = set(block)

        def counter(name: str) -> str:
            return f"n{name}" if f"n{name}" not in taken else f"n_{name}"

        return file.mktree(path, types, counter_name=counter)


def _counters(tree: Any) -> dict[str, str]:
    """Return the branch that holds the lengths of each list: what the file says, not what it is called."""
    branches = [tree[name] for name in tree.keys(full_paths=False)]
    return {b.name: b.count_branch.name for b in branches if b.count_branch is not None}


def _collections(counters: Mapping[str, str]) -> list[str]:
    """Return ``Jet`` for branches such as ``Jet_pt``, whose lengths are in ``nJet``."""
    pairs = [(name, counter[1:]) for name, counter in counters.items() if counter.startswith("n")]
    prefixes = {prefix for name, prefix in pairs if name.startswith(f"{prefix}_")}
    return sorted(prefixes, key=len, reverse=True)


def _why_not(tree: Any, name: str, is_ntuple: bool) -> str | None:
    """Return why a branch cannot be copied; none if it can, empty if it only groups others."""
    import awkward as ak

    branch = tree[name]
    if not is_ntuple and len(branch.branches) and branch.interpretation is None:
        return ""
    try:
        sample = branch.array(entry_start=0, entry_stop=min(1, int(tree.num_entries)))
    except Exception as error:  # whatever a stranger's branch makes uproot raise
        if not is_ntuple and len(branch.branches):
            return ""
        return f"{type(error).__name__} when read"
    text = str(ak.type(sample))
    depth = text.count("var *")
    if ak.fields(sample):
        return "" if not is_ntuple and len(branch.branches) else f"records ({text})"
    if depth > 1 and not is_ntuple:
        return f"lists of lists ({text}), which a TTree cannot be given"
    if "string" in text and not is_ntuple:
        return "text"
    return None


def _path_in(file: Any, tree: Any) -> str:
    """Return the path of a tree inside its file, without cycle."""
    paths = file.keys(recursive=True, cycle=False)
    wanted = [path for path in paths if path.rpartition("/")[2] == tree.name]
    full = tree.object_path.partition(";")[0].strip("/") if hasattr(tree, "object_path") else ""
    return full if full in wanted else (wanted[0] if wanted else tree.name)


def _warn(source: Path, file: Any, copy: _TreeCopy, kept: list[str]) -> None:
    kinds = {key.partition(";")[0]: kind for key, kind in file.classnames(recursive=True).items()}
    objects = [k for k, kind in kinds.items() if k not in kept and "Directory" not in kind]
    if copy.lost:
        told = ", ".join(f"{name} ({reason})" for name, reason in list(copy.lost.items())[:10])
        more = f" and {len(copy.lost) - 10} more" if len(copy.lost) > 10 else ""
        log.warning("'%s': %d branches cannot be copied: %s%s", source.name, len(copy.lost), told, more)
    if objects:
        log.warning("'%s': other objects are not copied: %s", source.name, ", ".join(objects[:10]))
