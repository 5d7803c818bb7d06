"""OmniLearn's own intermediate HDF5 files: 7, 8 or 13 network features per particle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from omnilearn_lab.errors import DataFileError
from omnilearn_lab.readers.base import RawJets, Reader, Rows, column, open_h5, padded_rows
from omnilearn_lab.readers.jetclass import pid_from_flags

__all__ = ["OmniLearnV1"]

_FEATURES = (7, 8, 13)
_FLAG_NAMES = ("charged_hadron", "neutral_hadron", "photon", "electron", "muon")


@dataclass(frozen=True)
class OmniLearnV1(Reader):
    """``data`` (N, P, 7, 8 or 13), ``jet`` (N, 4), ``pid`` (label or one-hot), optional ``weights``.

    pt and energy are taken back from the logarithms in columns 3 and 5. A slot is real when any of
    its columns is not zero: OmniLearn asks for column 2, ln(1 - pt / pt_jet), which also hides a particle
    that carries all of the jet's pt. ``jet`` is pt, eta, mass, multiplicity; azimuth is 0.

    Attributes
    ----------
    classes
        Class names, in the order of the labels; the files do not hold them.

    Examples
    --------
    >>> OmniLearnV1(classes=("QCD", "top")).class_names
    ('QCD', 'top')
    """

    classes: tuple[str, ...] = ()

    name: ClassVar[str] = "omnilearn_v1"

    @property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the classes."""
        return tuple(self.classes)

    @contextmanager
    def open(self, path: Path) -> Iterator[Rows]:
        """Open the file."""
        with open_h5(path) as file:
            data = column(file, "data", path)
            if data.ndim != 3 or data.shape[2] not in _FEATURES:
                raise DataFileError(f"'{path}': 'data' has shape {data.shape}; (N, P, 7, 8 or 13) is needed")
            yield Rows(len(data), lambda start, stop: _rows(file, path, slice(start, stop)))


def _rows(file: Any, path: Path, rows: slice) -> RawJets:
    data = file["data"][rows]
    flat, counts = padded_rows(
        {str(i): data[..., i] for i in range(data.shape[2])}, np.any(data != 0, axis=-1)
    )
    particles = {"deta": flat["0"], "dphi": flat["1"], "pt": np.exp(flat["3"]), "energy": np.exp(flat["5"])}
    if data.shape[2] > 7:
        particles["charge"] = flat["7"]
    if data.shape[2] == 13:
        flags = {name: flat[str(8 + i)] for i, name in enumerate(_FLAG_NAMES)}
        particles["pid"] = pid_from_flags(flags, flat["7"])
    stored, label = column(file, "jet", path)[rows], column(file, "pid", path)[rows]
    jet = {"pt": stored[:, 0], "eta": stored[:, 1], "mass": stored[:, 2], "multiplicity": stored[:, 3]}
    jet |= {"phi": np.zeros(len(stored)), "label": label.argmax(axis=1) if label.ndim == 2 else label}
    if "weights" in file:
        jet["weight"] = file["weights"][rows]
    return RawJets(particles, counts, jet)
