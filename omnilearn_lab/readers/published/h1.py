"""H1 deep-inelastic scattering: ROOT minitrees of Rapgap and Djangoh events, supplied by the user."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

import numpy as np

from omnilearn_lab.errors import DataFileError
from omnilearn_lab.jets.files import tell_left_out
from omnilearn_lab.readers.base import RawJets, Reader, Source, column, count_entries, open_root
from omnilearn_lab.readers.kinematics import Convention
from omnilearn_lab.settings import settings

_TREES = ("Django/minitree", "Rapgap/minitree")  # position = label
_EVENT = ("Q2", "y", "ptmiss", "Empz")
_JET = ("jet_pt", "jet_eta", "jet_phi", "jet_e", "jet_mass")
_PARTICLE = ("pt", "eta", "phi", "e", "charge", "idx")
_ETA_WINDOW = (-1.5, 2.75)
_SLOTS_V1 = 30


@settings
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
    storage: ClassVar = open_root

    def count_rows(self, source: Source) -> int:
        """Return the number of events of the tree that the file holds."""
        return count_entries(source.file[self._tree(source)], source.path)

    def _tree(self, source: Source) -> str:
        name = next((name for name in _TREES if name in source), None)
        if name is None:
            raise DataFileError(f"'{source.path}' has none of the trees {_TREES}; found {source.file.keys()}")
        return name

    def block(self, source: Source, rows: slice) -> RawJets:
        """Read the leading jets of some events."""
        import awkward as ak

        label = _TREES.index(self._tree(source))
        tree = source.file[_TREES[label]]
        wanted = [*_EVENT, *_JET, *(f"jet_part_{name}" for name in _PARTICLE)]
        for name in wanted:
            column(tree, name, source.path)
        events = tree.arrays(wanted, entry_start=rows.start, entry_stop=rows.stop)
        leading = {name: np.asarray(ak.fill_none(ak.firsts(events[name]), 0)) for name in _JET}
        keep = self._selected(events, leading)
        tell_left_out(source.path, int((~keep).sum()), len(keep), "outside the selection", logging.INFO)
        entries = {name: events[f"jet_part_{name}"][keep] for name in _PARTICLE}
        if self.convention == "omnilearn":
            entries = {name: values[:, :_SLOTS_V1] for name, values in entries.items()}
        chosen = entries["idx"] == 0
        if self.convention == "omnilearn":
            chosen = chosen & ~(entries["eta"] <= _ETA_WINDOW[0]) & ~(entries["eta"] >= _ETA_WINDOW[1])
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
        """Return which events pass; not-a-number passes, and is seen as such afterwards."""
        q2, y, missing, balance = (np.asarray(events[name]) for name in _EVENT)
        fails = (q2 <= 150) | (y <= 0.08) | (y >= 0.7) | (missing >= 10) | (balance <= 45) | (balance >= 65)
        low, high = _ETA_WINDOW
        eta = leading["jet_eta"]
        return ~(fails | (leading["jet_pt"] <= 10) | (eta <= low) | (eta >= high))
