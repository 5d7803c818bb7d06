"""CMS 2011A open data in MOD HDF5: jets and particles back to back, columns named by attributes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.jets.species import charge_of, reduce_pid
from omnilearn_lab.readers.base import RawJets, Reader, Rows, column, open_h5
from omnilearn_lab.readers.energyflow import Convention, check_convention, first_particles, published_charge
from omnilearn_lab.readers.masses import momenta_from_rapidity

__all__ = ["CmsMod"]

_QUARKS = (1, 2, 3)
_SLOTS_V1 = 100
_KEPT = ("weight", "jec", "npv", "quality", "hard_pid")


@dataclass(frozen=True)
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

    def __post_init__(self) -> None:
        super().__post_init__()
        check_convention(self.convention)
        if self.level not in ("reco", "gen"):
            raise ConfigError(f"level={self.level!r}; 'reco' or 'gen' is expected")

    @contextmanager
    def open(self, path: Path) -> Iterator[Rows]:
        """Open the file."""
        with open_h5(path) as file:
            n_rows = len(column(file, "jets_f", path))
            yield Rows(n_rows, lambda start, stop: self._rows(file, path, start, stop))

    def _rows(self, file: Any, path: Path, start: int, stop: int) -> RawJets:
        stored = "pfcs" if self.level == "reco" else "gens"
        index = column(file, f"{stored}_index", path)[start : stop + 1].astype(np.int64)
        particles = _named(column(file, stored, path), slice(index[0], index[-1]))
        jets = _named(file["jets_i"], slice(start, stop)) | _named(file["jets_f"], slice(start, stop))
        counts = np.diff(index)
        hard = particles["pt"] >= self.min_pt
        jet_of = np.repeat(np.arange(len(counts)), counts)[hard]
        counts = np.bincount(jet_of, minlength=len(counts))
        particles = {name: values[hard] for name, values in particles.items()}
        jet = _jet(jets, "gen_jet" if self.level == "gen" and "gen_jet_pt" in jets else "jet")
        raw = self._convert(particles, counts, jet)
        return raw if "hard_pid" not in jets else self._labelled(raw, jets["hard_pid"])

    def _convert(
        self, stored: dict[str, np.ndarray], counts: np.ndarray, jet: dict[str, np.ndarray]
    ) -> RawJets:
        momenta = momenta_from_rapidity(stored["pt"], stored["y"], stored["phi"], stored["m"])
        pid = np.rint(stored["pid"]).astype(np.int64)
        reduced = reduce_pid(pid)
        columns = {**momenta, "pid": reduced, "charge": charge_of(reduced), "vertex": stored["vertex"]}
        if self.convention == "physical":
            return RawJets(columns, counts, jet)
        columns["deta"] = stored["y"] - np.repeat(jet["eta"], counts)
        columns["energy"] = stored["pt"] * np.cosh(stored["y"])
        columns["charge"] = published_charge(pid)
        return first_particles(RawJets(columns, counts, jet), _SLOTS_V1)

    def _labelled(self, raw: RawJets, hard_pid: np.ndarray) -> RawJets:
        size = np.abs(hard_pid)
        quark, gluon = np.isin(size, _QUARKS), size == 21
        if self.convention == "omnilearn":
            gluon = gluon | (size == 0)
        labelled = RawJets(raw.particles, raw.counts, {**raw.jet, "label": quark.astype(np.int64)}, raw.rows)
        return labelled.select(quark | gluon)


def _named(dataset: Any, rows: slice) -> dict[str, np.ndarray]:
    """Return the columns of a dataset by the names in its attribute ``cols``."""
    names = [n.decode() if isinstance(n, bytes) else str(n) for n in dataset.attrs["cols"]]
    values = dataset[rows]
    if values.ndim != 2 or values.shape[1] != len(names):
        raise ValueError(f"'{dataset.name}' has shape {values.shape}, and {len(names)} names in 'cols'")
    return {name: values[:, i] for i, name in enumerate(names)}


def _jet(jets: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    names = {"pt": "pt", "eta": "eta", "phi": "phi", "mass": "m"}
    jet = {ours: jets[f"{prefix}_{theirs}"] for ours, theirs in names.items()}
    return jet | {name: jets[name] for name in _KEPT if name in jets}
