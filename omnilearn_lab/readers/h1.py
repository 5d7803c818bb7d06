"""H1 deep-inelastic scattering: ROOT minitrees of Rapgap and Djangoh events, supplied by the user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from omnilearn_lab.errors import DataFileError
from omnilearn_lab.readers.base import RawJets, Reader, Rows, column
from omnilearn_lab.readers.energyflow import Convention, check_convention

__all__ = ["H1"]

_TREES = ("Django/minitree", "Rapgap/minitree")  # position = label
_EVENT = ("Q2", "y", "ptmiss", "Empz")
_JET = ("jet_pt", "jet_eta", "jet_phi", "jet_e", "jet_mass")
_PARTICLE = ("pt", "eta", "phi", "e", "charge", "idx")
_ETA_WINDOW = (-1.5, 2.75)
_SLOTS_V1 = 30


@dataclass(frozen=True)
class H1(Reader):
    """Trees ``Django/minitree`` (label 0) and ``Rapgap/minitree`` (label 1), one per file.

    The leading jet of events with Q2 > 150 GeV^2, 0.08 < y < 0.7, ptmiss < 10 GeV,
    45 < Empz < 65 GeV, jet pt > 10 GeV and -1.5 < eta < 2.75. ``jet_part_pt`` and ``jet_part_e`` are
    fractions of the jet, ``jet_part_eta`` and ``jet_part_phi`` relative to it, and
    ``jet_part_idx`` = 0 marks the leading jet.

    Attributes
    ----------
    convention
        ``physical``: all particles of the leading jet. ``omnilearn``: among the first 30
        entries of the event, those of the leading jet whose *relative* eta lies in (-1.5, 2.75), as the
        OmniLearn conversion selects them.

    References
    ----------
    Britzger et al., arXiv 2106.11058.

    Examples
    --------
    >>> H1().class_names
    ('Djangoh', 'Rapgap')
    """

    convention: Convention = "physical"

    name: ClassVar[str] = "h1"
    suffixes: ClassVar[tuple[str, ...]] = (".root",)
    class_names: ClassVar[tuple[str, ...]] = ("Djangoh", "Rapgap")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_convention(self.convention)

    @contextmanager
    def open(self, path: Path) -> Iterator[Rows]:
        """Open the tree that the file holds."""
        import uproot

        with uproot.open(path) as file:
            label = next((i for i, name in enumerate(_TREES) if name in file), None)
            if label is None:
                raise DataFileError(f"'{path}' has none of the trees {_TREES}; found {file.keys()}")
            tree = file[_TREES[label]]
            yield Rows(
                int(tree.num_entries), lambda start, stop: self._rows(tree, path, label, (start, stop))
            )

    def _rows(self, tree: Any, path: Path, label: int, rows: tuple[int, int]) -> RawJets:
        import awkward as ak

        wanted = [*_EVENT, *_JET, *(f"jet_part_{name}" for name in _PARTICLE)]
        for name in wanted:
            column(tree, name, path)
        events = tree.arrays(wanted, entry_start=rows[0], entry_stop=rows[1])
        leading = {name: np.asarray(ak.fill_none(ak.firsts(events[name]), 0)) for name in _JET}
        keep = self._selected(events, leading)
        entries = {name: events[f"jet_part_{name}"][keep] for name in _PARTICLE}
        if self.convention == "omnilearn":
            entries = {name: values[:, :_SLOTS_V1] for name, values in entries.items()}
        chosen = entries["idx"] == 0
        if self.convention == "omnilearn":
            chosen = chosen & (entries["eta"] > _ETA_WINDOW[0]) & (entries["eta"] < _ETA_WINDOW[1])
        counts = np.asarray(ak.sum(chosen, axis=1)).astype(np.int64)
        flat = {name: np.asarray(ak.flatten(values[chosen])) for name, values in entries.items()}
        jet = {name.removeprefix("jet_"): values[keep] for name, values in leading.items()}
        particles = {
            "pt": flat["pt"] * np.repeat(jet["pt"], counts),
            "energy": flat["e"] * np.repeat(jet["e"], counts),
            "deta": flat["eta"],
            "dphi": flat["phi"],
            "charge": flat["charge"],
        }
        del jet["e"]
        jet |= {name: np.asarray(events[name])[keep] for name in _EVENT}
        return RawJets(particles, counts, {**jet, "label": np.full(len(counts), label)}, np.flatnonzero(keep))

    def _selected(self, events: Any, leading: dict[str, np.ndarray]) -> np.ndarray:
        q2, y, missing, balance = (np.asarray(events[name]) for name in _EVENT)
        event = (q2 > 150) & (y > 0.08) & (y < 0.7) & (missing < 10) & (balance > 45) & (balance < 65)
        low, high = _ETA_WINDOW
        eta = leading["jet_eta"]
        return event & (leading["jet_pt"] > 10) & (eta > low) & (eta < high)
