"""ATLAS top tagging open data: rectangular HDF5 datasets in MeV, plain or wrapped in gzip."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from omnilearn_lab.readers.base import RawJets, Reader, Source, open_h5
from omnilearn_lab.readers.kinematics import padded_rows
from omnilearn_lab.settings import settings

_GEV = 1e-3
_WEIGHTS = ("training_weights", "weights")


@contextmanager
def open_unzipped(path: Path) -> Iterator[Any]:
    """Open an HDF5 file, plain or in a ``.gz`` wrapping, whose temporary copy is deleted afterwards.

    Raises
    ------
    OSError
        When the wrapping is damaged, or the folder for temporary files is full.
    """
    if path.suffix != ".gz":
        with open_h5(path) as file:
            yield file
        return
    with tempfile.TemporaryDirectory(prefix="omnilearn_lab") as folder:
        plain = Path(folder) / path.stem
        with gzip.open(path) as source, plain.open("wb") as target:
            shutil.copyfileobj(source, target)
        with open_h5(plain) as file:
            yield file


@settings
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
    storage: ClassVar = open_unzipped
    counted: ClassVar[str] = "labels"

    def block(self, source: Source, rows: slice) -> RawJets:
        """Read some jets."""
        slots = (slice(self.first_particles),)
        stored = {name: source.rows(f"fjet_clus_{name}", rows, slots) for name in ("pt", "eta", "phi", "E")}
        jet = {name: source.rows(f"fjet_{name}", rows) for name in ("pt", "eta", "phi", "m")}
        columns = {
            "pt": stored["pt"] * _GEV,
            "deta": stored["eta"] - jet["eta"][:, None],
            "dphi": stored["phi"] - jet["phi"][:, None],
            "energy": stored["E"] * _GEV,
        }
        if "fjet_clus_taste" in source:
            columns["taste"] = source.rows("fjet_clus_taste", rows, slots)
        particles, counts = padded_rows(columns, stored["pt"] != 0)
        table = {"pt": jet["pt"] * _GEV, "eta": jet["eta"], "phi": jet["phi"], "mass": jet["m"] * _GEV}
        table["label"] = source.rows("labels", rows).reshape(-1)
        weights = next((name for name in _WEIGHTS if name in source), None)
        if weights:
            table["weight"] = source.rows(weights, rows).reshape(-1)
        return RawJets(particles, counts, table)
