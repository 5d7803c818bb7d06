"""Files of the originals: OmniLearned's ML-ready HDF5 (and ours), and OmniLearn's network features."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from omnilearn_lab.errors import DataFileError, JetsError
from omnilearn_lab.jets.files import read_rows
from omnilearn_lab.readers.base import RawJets, Reader, Source
from omnilearn_lab.readers.kinematics import padded_rows, pid_from_flags
from omnilearn_lab.settings import settings

_FEATURES = (7, 8, 13)
_SOURCE = {"row": "source_row", "rank": "source_rank"}  # of the file that this one was converted from
_FLAG_NAMES = ("charged_hadron", "neutral_hadron", "photon", "electron", "muon")


@settings
class MLReady(Reader):
    """``data`` (N, P, F), ``pid`` (label plus the dataset's shift), optional ``global``.

    Files of OmniLearned store labels of one space shared by all datasets; ``shift`` is subtracted.
    Jets with a stray label (a few 0 in the JetClass training files, all of the CMS QCD test files)
    are bad jets: ``bad_jets="drop"`` leaves them out.

    Attributes
    ----------
    shift
        Subtracted from the stored labels.
    classes
        Class names; those that the file holds (ours do) when empty.
    stored_labels
        Stored labels by class, for sets whose labels are not a range: (2, 10) for ATLAS top.

    Examples
    --------
    >>> MLReady(shift=2).shift
    2
    """

    shift: int = 0
    classes: tuple[str, ...] = ()
    stored_labels: tuple[int, ...] = ()

    name: ClassVar[str] = "ml_ready"

    def count_rows(self, source: Source) -> int:
        """Return the number of jets."""
        read_rows(source.path, 0, 0)  # the layout is checked
        return len(source["data"])

    def block(self, source: Source, rows: slice) -> RawJets:
        """Read some jets."""
        path, start, stop = source.path, rows.start, rows.stop
        try:
            jets, kept = read_rows(path, start, stop)
        except JetsError as error:
            raise DataFileError(
                f"'{path}', in rows {start} to {stop}: {error}; make the file again, "
                "or read around these rows"
            ) from error
        names = tuple(self.classes) or jets.class_names
        table = {_SOURCE.get(name, name): values for name, values in jets.jet.items()}
        if "label" in table:
            table["label"] = self._label(table["label"] - self.shift)
        counts = jets.counts
        if not kept.all():  # what becomes of empty rows is the same for all readers
            counts, table = _spread(counts, kept), {n: _spread(values, kept) for n, values in table.items()}
        return RawJets(jets.particles, counts, table, None, names)

    def _label(self, label: np.ndarray) -> np.ndarray:
        if not self.stored_labels:
            return label
        match = label[:, None] == np.array(self.stored_labels)
        return np.where(match.any(axis=1), match.argmax(axis=1), -1)


def _spread(values: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Values of the rows that were kept at their places among all rows, zero elsewhere."""
    full = np.zeros(len(kept), values.dtype)
    full[kept] = values
    return full


@settings
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

    def count_rows(self, source: Source) -> int:
        """Return the number of jets."""
        shape = source["data"].shape
        if len(shape) != 3 or shape[2] not in _FEATURES:
            raise DataFileError(f"'{source.path}': 'data' has shape {shape}; (N, P, 7, 8 or 13) is needed")
        return shape[0]

    def block(self, source: Source, rows: slice) -> RawJets:
        """Read some jets."""
        data = source.rows("data", rows)
        flat, counts = padded_rows(
            {str(i): data[..., i] for i in range(data.shape[2])}, np.any(data != 0, axis=-1)
        )
        particles = {"deta": flat["0"], "dphi": flat["1"]}
        particles |= {"pt": np.exp(flat["3"]), "energy": np.exp(flat["5"])}
        if data.shape[2] > 7:
            particles["charge"] = flat["7"]
        if data.shape[2] == 13:
            flags = {name: flat[str(8 + i)] for i, name in enumerate(_FLAG_NAMES)}
            particles["pid"] = pid_from_flags(flags, flat["7"])
        stored, label = source.rows("jet", rows), source.rows("pid", rows)
        jet = {"pt": stored[:, 0], "eta": stored[:, 1], "mass": stored[:, 2], "multiplicity": stored[:, 3]}
        jet |= {"phi": np.zeros(len(stored)), "label": label.argmax(axis=1) if label.ndim == 2 else label}
        if "weights" in source:
            jet["weight"] = source.rows("weights", rows)
        return RawJets(particles, counts, jet)
