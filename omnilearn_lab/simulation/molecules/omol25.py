"""Reader of OMol25: molecules in files of the ASE database on LMDB (``*.aselmdb``)."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from omnilearn_lab.errors import DataFileError, translated
from omnilearn_lab.simulation.molecules.chemistry import ELEMENTS, needed
from omnilearn_lab.simulation.molecules.sets import Molecules

_LARGEST_ROW = 1 << 24  # bytes of one unpacked row; a molecule of 350 atoms has 50 kB


def read_omol25(path: str | os.PathLike[str], *, n_molecules: int | None = None) -> Molecules:
    """Read the first neutral molecules of H, C, N and O with paired electrons of a file or folder.

    A file is one LMDB database: the key is the number of a row, the value JSON packed by zlib, with arrays as
    ``{"__ndarray__": [shape, type, numbers]}``. Nothing is unpickled. Energies are the total ones [eV].

    Parameters
    ----------
    path
        A ``.aselmdb`` file, or a folder of them.
    n_molecules
        Keep the first ones; None keeps all.

    Raises
    ------
    MissingDependencyError
        Without lmdb.
    DataFileError
        When there is no such file, it is damaged or of another layout, or no molecule passes.

    References
    ----------
    Levine et al. (OMol25), arXiv:2505.08762.
    """
    path = Path(path)
    files = sorted(path.glob("*.aselmdb")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise DataFileError(f"'{path}' is no .aselmdb file, and no folder that holds one")
    parts, names = [], []
    for row in (row for file in files for row in _rows(file)):
        if len(parts) == n_molecules:
            break
        with translated(DataFileError, f"a row of '{path}' is none of OMol25", "see `read_omol25`"):
            about, numbers = row.get("data", {}), _array(row["numbers"])
            if (about.get("charge", 0), about.get("spin", 1)) != (0, 1) or set(numbers) - set(ELEMENTS):
                continue
            vectors = {"position": _array(row["positions"]), "force": _array(row["forces"])}
            one = {name: values.reshape(1, len(numbers), 3) for name, values in vectors.items()}
            parts.append({"numbers": numbers.astype(np.int8), "energy": np.array([row["energy"]])} | one)
            names.append(str(about.get("source", row.get("unique_id", len(names)))))
    if not parts:
        raise DataFileError(f"'{path}' has no neutral molecule of H, C, N and O with paired electrons")
    return Molecules.join(parts, names, source="published", file=path.name)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a file in the order of their numbers."""
    with needed("lmdb", "reading OMol25"):
        import lmdb
    with (
        translated(DataFileError, f"'{path}' is damaged", "get it again"),
        lmdb.open(str(path), subdir=False, readonly=True, lock=False) as file,
        file.begin() as view,
    ):
        for number in sorted(int(key) for key, _ in view.cursor() if key.isdigit()):
            packed = zlib.decompressobj()
            text = packed.decompress(view.get(str(number).encode()), _LARGEST_ROW)
            if packed.unconsumed_tail:
                raise DataFileError(f"'{path}', row {number}: more than {_LARGEST_ROW >> 20} MB; no molecule")
            yield json.loads(text)


def _array(value: Any) -> np.ndarray:
    """Numbers as they are written, or with shape and type."""
    shape, dtype, flat = value["__ndarray__"] if isinstance(value, dict) else (-1, None, value)
    return np.array(flat, dtype=dtype and np.dtype(str(dtype))).reshape(shape)
