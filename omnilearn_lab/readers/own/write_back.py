"""Write scores beside the columns of the file that the jets came from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from omnilearn_lab.errors import DataFileError
from omnilearn_lab.readers.own.tables import find_tree


def add_columns(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    columns: Mapping[str, Any],
    *,
    tree: str = "",
) -> Path:
    """Copy a ROOT or HDF5 file with further columns, one value per row.

    The source is only read; the target appears when it is complete.

    Parameters
    ----------
    source
        Ends in ``.root``, ``.h5`` or ``.hdf5``.
    target
        Another file with the same ending.
    columns
        Name to values, shape (rows,) or (rows, K). In HDF5 files a name may hold groups: ``"jets/score"``.
    tree
        The ROOT tree to copy and extend; the only one when empty. Other objects of a ROOT file are not
        copied.

    Returns
    -------
    Path
        The target.

    Raises
    ------
    DataFileError
        When the endings differ or are unknown, source and target are one file, a name is taken, or a
        column has another number of rows.

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
    write = _WRITERS.get(source.suffix)
    if write is None or target.suffix != source.suffix:
        raise DataFileError(
            f"'{source}' to '{target}': both must have the same ending, one of {', '.join(_WRITERS)}"
        )
    if not source.is_file():
        raise DataFileError(f"there is no file '{source}'")
    if source.resolve() == target.resolve():
        raise DataFileError(f"'{source}' would be overwritten; give the target another name")
    partial = target.with_name(f"{target.stem}.part{target.suffix}")
    try:
        write(source, partial, {name: np.asarray(values) for name, values in columns.items()}, tree)
        return partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _write_root(source: Path, target: Path, columns: Mapping[str, np.ndarray], tree: str) -> None:
    import uproot

    with uproot.open(source) as file:
        found = find_tree(file, source, tree)
        name, rows = found.name, found.arrays()
    _check(columns, source, taken=rows.fields, n_rows=len(rows))
    kept = {field: rows[field] for field in rows.fields if not _is_counter(field, rows.fields)}
    with uproot.recreate(target) as file:
        make = file.mktree if found.classname == "TTree" else file.mkrntuple
        make(name, kept | dict(columns))


def _is_counter(field: str, fields: list[str]) -> bool:
    """Whether uproot will write this branch itself: the length of a jagged one."""
    return field.startswith("n") and field[1:] in fields


def _write_hdf5(source: Path, target: Path, columns: Mapping[str, np.ndarray], _: str) -> None:
    import h5py

    shutil.copyfile(source, target)
    with h5py.File(target, "r+") as file:
        taken: list[str] = []
        file.visit(taken.append)
        _check(columns, source, taken=taken, n_rows=_n_rows(file))
        for name, values in columns.items():
            file[name] = values


def _n_rows(file: Any) -> int | None:
    """The length that most datasets share; none in an empty file."""
    lengths: list[int] = []
    file.visititems(lambda _, item: lengths.append(len(item)) if getattr(item, "shape", ()) else None)
    return max(set(lengths), key=lengths.count) if lengths else None


def _check(columns: Mapping[str, np.ndarray], source: Path, *, taken: list[str], n_rows: int | None) -> None:
    for name, values in columns.items():
        if name in taken:
            raise DataFileError(f"'{source}' already has a column '{name}'; choose another name")
        if n_rows is not None and len(values) != n_rows:
            raise DataFileError(
                f"column '{name}' has {len(values)} values and '{source}' has {n_rows} rows; were jets "
                "dropped when it was read?"
            )


_WRITERS = {".root": _write_root, ".h5": _write_hdf5, ".hdf5": _write_hdf5}
