"""ATLAS top tagging open data: rectangular HDF5 datasets in MeV, plain or wrapped in gzip."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from omnilearn_lab.readers.base import RawJets, Reader, Rows, column, open_h5, padded_rows

__all__ = ["AtlasTop", "unzipped"]

_GEV = 1e-3
_WEIGHTS = ("training_weights", "weights")


@contextmanager
def unzipped(path: Path) -> Iterator[Path]:
    """Give the path of a file without its ``.gz`` wrapping; the copy is deleted afterwards.

    Raises
    ------
    OSError
        When the wrapping is damaged, or the folder for temporary files is full.
    """
    if path.suffix != ".gz":
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="omnilearn_lab") as folder:
        plain = Path(folder) / path.stem
        with gzip.open(path) as source, plain.open("wb") as target:
            shutil.copyfileobj(source, target)
        yield plain


@dataclass(frozen=True)
class AtlasTop(Reader):
    """CERN Open Data 15013 (``weights``) and 80030 (``training_weights``, ``*.h5.gz``).

    Jets are the calibrated ones, so that the sum of constituents differs from the jet, and one
    constituent may be harder than it. Weights are there in training sets only; the record demands
    them in every loss.

    Attributes
    ----------
    first_particles
        Keep the first particles only; the OmniLearn conversion keeps 120.

    References
    ----------
    ATLAS Collaboration, arXiv 2407.20127.

    Examples
    --------
    >>> AtlasTop().class_names
    ('QCD', 'top')
    """

    first_particles: int | None = None

    name: ClassVar[str] = "atlas_top"
    suffixes: ClassVar[tuple[str, ...]] = (".h5", ".hdf5", ".h5.gz")
    class_names: ClassVar[tuple[str, ...]] = ("QCD", "top")

    @contextmanager
    def open(self, path: Path) -> Iterator[Rows]:
        """Open the file, unpacking gzip into a temporary copy."""
        with unzipped(path) as plain, open_h5(plain) as file:
            n_rows = len(column(file, "labels", path))
            yield Rows(n_rows, lambda start, stop: self._rows(file, path, slice(start, stop)))

    def _rows(self, file: Any, path: Path, rows: slice) -> RawJets:
        stored = {
            name: column(file, f"fjet_clus_{name}", path)[rows, : self.first_particles]
            for name in ("pt", "eta", "phi", "E")
        }
        jet = {name: column(file, f"fjet_{name}", path)[rows] for name in ("pt", "eta", "phi", "m")}
        columns = {
            "pt": stored["pt"] * _GEV,
            "deta": stored["eta"] - jet["eta"][:, None],
            "dphi": stored["phi"] - jet["phi"][:, None],
            "energy": stored["E"] * _GEV,
        }
        if "fjet_clus_taste" in file:
            columns["taste"] = file["fjet_clus_taste"][rows, : self.first_particles]
        particles, counts = padded_rows(columns, stored["pt"] != 0)
        table = {"pt": jet["pt"] * _GEV, "eta": jet["eta"], "phi": jet["phi"], "mass": jet["m"] * _GEV}
        table["label"] = np.asarray(file["labels"][rows]).reshape(-1)
        weights = next((name for name in _WEIGHTS if name in file), None)
        if weights:
            table["weight"] = np.asarray(file[weights][rows]).reshape(-1)
        return RawJets(particles, counts, table)
