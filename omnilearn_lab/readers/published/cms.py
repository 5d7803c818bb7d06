"""Real jets of CMS: Aspen Open Jets (2016, rectangular HDF5), and 2011A in MOD HDF5, back to back."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from omnilearn_lab.errors import DataFileError
from omnilearn_lab.jets import charge_of, reduce_pid
from omnilearn_lab.jets.files import tell_left_out
from omnilearn_lab.machine import attributes
from omnilearn_lab.readers.base import RawJets, Reader, Source
from omnilearn_lab.readers.kinematics import (
    Convention,
    jet_axis,
    momenta_from_rapidity,
    padded_rows,
    pid_from_cms,
    published_charge,
    whole_codes,
)
from omnilearn_lab.settings import settings

_CANDIDATE = ("px", "py", "pz", "energy", "d0", "d0_err", "dz", "dz_err", "charge", "pid", "puppi")
_SMALLEST_CODE = 11


@settings
class Aspen(Reader):
    """FDR Hamburg 16505: ``PFCands`` (N, 150, 11), ``jet_kinematics``, ``event_info``, ``jet_tagging``.

    Jets have no label. ``mass`` is that of the sum of the candidates, ``soft_drop_mass`` the stored one
    (-1: undefined). Of jets with more than 150 candidates the first 150 of the original list are
    stored, which are not the hardest. Entries with \\|PDG id\\| < 11 are left out.

    Attributes
    ----------
    apply_puppi
        Multiply candidates by their PUPPI weight, and drop those of weight 0.

    References
    ----------
    Amram et al., arXiv 2412.10504.

    Examples
    --------
    >>> Aspen(apply_puppi=True).apply_puppi
    True
    """

    apply_puppi: bool = False

    name: ClassVar[str] = "aspen"
    counted: ClassVar[str] = "PFCands"

    def block(self, source: Source, rows: slice) -> RawJets:
        """Read some jets."""
        stored, kinematics = source.rows("PFCands", rows), source.rows("jet_kinematics", rows)
        mask = np.any(stored[..., :4] != 0, axis=-1) & ~(np.abs(stored[..., 9]) < _SMALLEST_CODE)
        if self.apply_puppi:
            mask &= ~(stored[..., 10] <= 0)
            stored[..., :4] *= stored[..., 10:]
        columns, counts = padded_rows({name: stored[..., i] for i, name in enumerate(_CANDIDATE)}, mask)
        columns["pid"] = reduce_pid(whole_codes(columns["pid"], source.path), columns["charge"])
        columns["charge"] = charge_of(columns["pid"])
        jet = jet_axis(columns, counts)
        jet |= {name: kinematics[:, i] for i, name in enumerate(("pt", "eta", "phi", "soft_drop_mass"))}
        if "jet_tagging" in source:
            jet["multiplicity"] = source.rows("jet_tagging", rows)[:, 0]
        if "event_info" in source:
            jet["event"] = source.rows("event_info", rows)[:, 2]
        return RawJets(columns, counts, jet)


_QUARKS = (1, 2, 3)
_SLOTS_V1 = 100
_OTHERS = "neither a light quark nor a gluon"
_KEPT = ("weight", "jec", "npv", "quality", "hard_pid")


@settings
class CmsMod(Reader):
    """Zenodo 3340205 (data) and the SIM and GEN records: ``jets_i``, ``jets_f``, ``pfcs``, ``gens``.

    Column positions are taken from the attribute ``cols`` of every dataset. Jets are labelled 1
    (quark) when the matched parton is u, d or s, 0 (gluon) for gluons; jets from c, b and others
    are left out. Data have no parton and no label. ``jet_pt`` is uncorrected: multiply by ``jec``.

    Attributes
    ----------
    level
        ``reco``: particle-flow candidates; ``gen``: generator particles.
    min_pt
        Smallest particle pt [GeV]; the OmniLearn conversion cuts at 1.
    convention
        ``physical``: masses, pseudorapidity, true charges, and no jets without a matched parton.
        ``omnilearn``: the first 100 particles as stored, rapidity minus jet pseudorapidity,
        E = pt cosh(y), sign of the PDG code as charge, and unmatched jets called gluons. Balancing
        the classes at random, as that conversion does, is left to the user.

    References
    ----------
    Komiske, Mastandrea, Metodiev, Naik and Thaler, arXiv 1908.08542.

    Examples
    --------
    >>> CmsMod(level="gen").min_pt
    1.0
    """

    level: Literal["reco", "gen"] = "reco"
    min_pt: float = 1.0
    convention: Convention = "physical"

    name: ClassVar[str] = "cms_mod"
    class_names: ClassVar[tuple[str, ...]] = ("gluon", "quark")
    counted: ClassVar[str] = "jets_f"

    def block(self, source: Source, rows: slice) -> RawJets:
        """Read some jets and their particles."""
        stored = "pfcs" if self.level == "reco" else "gens"
        index = source[f"{stored}_index"]
        if len(index) != source.n_rows + 1:
            raise DataFileError(
                f"'{source.path}': '{stored}_index' has {len(index)} entries for {source.n_rows} jets; one "
                "more than jets is needed: fetch the file again"
            )
        edges = index[rows.start : rows.stop + 1].astype(np.int64)
        counts = np.diff(edges)
        if len(counts) and (counts.min() < 0 or edges[0] < 0 or edges[-1] > len(source[stored])):
            raise DataFileError(
                f"'{source.path}': '{stored}_index' points outside '{stored}' in rows {rows.start} to "
                f"{rows.stop}; fetch the file again"
            )
        particles = _named(source, stored, slice(edges[0], edges[-1]))
        jets = _named(source, "jets_i", rows) | _named(source, "jets_f", rows)
        hard = ~(particles["pt"] < self.min_pt)  # not-a-number stays and is seen
        counts = np.bincount(np.repeat(np.arange(len(counts)), counts)[hard], minlength=len(counts))
        particles = {name: values[hard] for name, values in particles.items()}
        jet = _jet(jets, "gen_jet" if self.level == "gen" and "gen_jet_pt" in jets else "jet")
        raw = self._convert(particles, counts, jet, source.path)
        return raw if "hard_pid" not in jets else self._labelled(raw, jets["hard_pid"], source.path)

    def _convert(
        self, stored: dict[str, np.ndarray], counts: np.ndarray, jet: dict[str, np.ndarray], path: Path
    ) -> RawJets:
        momenta = momenta_from_rapidity(stored["pt"], stored["y"], stored["phi"], stored["m"])
        pid = whole_codes(stored["pid"], path)
        reduced = reduce_pid(pid_from_cms(pid) if self.level == "reco" else pid)
        columns = {**momenta, "pid": reduced, "charge": charge_of(reduced), "vertex": stored["vertex"]}
        if self.convention == "physical":
            return RawJets(columns, counts, jet)
        columns["deta"] = stored["y"] - np.repeat(jet["eta"], counts)
        columns["energy"] = stored["pt"] * np.cosh(stored["y"])
        columns["charge"] = published_charge(pid)
        return RawJets(columns, counts, jet).first_particles(_SLOTS_V1)

    def _labelled(self, raw: RawJets, hard_pid: np.ndarray, path: Path) -> RawJets:
        size = np.abs(hard_pid)
        quark, gluon = np.isin(size, _QUARKS), size == 21
        if self.convention == "omnilearn":
            gluon = gluon | (size == 0)
        kept = quark | gluon
        tell_left_out(path, int((~kept).sum()), len(kept), _OTHERS, logging.INFO)
        return replace(raw, jet={**raw.jet, "label": quark.astype(np.int64)}).select(kept)


def _named(source: Source, name: str, rows: slice) -> dict[str, np.ndarray]:
    """Return the columns of a dataset by the names in its attribute ``cols``."""
    dataset = source[name]
    names = [n.decode() if isinstance(n, bytes) else str(n) for n in attributes(dataset, "cols")["cols"]]
    if dataset.ndim != 2 or dataset.shape[1] != len(names):
        raise DataFileError(
            f"'{source.path}': '{name}' has shape {dataset.shape}, and {len(names)} names in 'cols'; fetch "
            "the file again"
        )
    values = dataset[rows] if name in ("pfcs", "gens") else source.rows(name, rows)
    return {name: values[:, i] for i, name in enumerate(names)}


def _jet(jets: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    names = {"pt": "pt", "eta": "eta", "phi": "phi", "mass": "m"}
    jet = {ours: jets[f"{prefix}_{theirs}"] for ours, theirs in names.items()}
    return jet | {name: jets[name] for name in _KEPT if name in jets}
