"""OmniFold Z + jets: npz files with the same jets at particle and at detector level."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from omnilearn_lab.jets import Jets, charge_of, reduce_pid
from omnilearn_lab.readers.base import RawJets, Reader, Source
from omnilearn_lab.readers.kinematics import eta_from_rapidity, mass_of, momenta_from_rapidity, padded_rows
from omnilearn_lab.readers.npz import open_npz
from omnilearn_lab.settings import settings

_SPECIES = (22, 211, -211, 130, 11, -11, 13, -13, 321, -321, 2212, -2212, 2112, -2112)  # code 0.0, 0.1, ...
_OBSERVABLES = {
    "mults": "published_multiplicity",
    "lhas": "lha",
    "widths": "width",
    "ang2s": "ang2",
    "tau2s": "tau2",
    "sdms": "soft_drop_mass",
    "zgs": "z_g",
}
_PT_UNIT = 100.0  # stored pt is pt / 100 GeV


@settings
class OmniFold(Reader):
    """Zenodo 3548091: ``gen_*`` and ``sim_*`` arrays, paired by row.

    The mask is pt > 0, taken before species are looked up: the code of photons, 0.0, is that of
    padding. Species codes are compared as rounded integers. The number of slots differs from file to
    file. Stored observables become jet columns, ``tau2`` and ``width`` among them; the published
    ratio "tau21" is tau2 / width. The conversion of OmniLearn recomputes the jet axis from the
    constituents and lets 400,000 rows of training and test samples overlap; here the stored jet is
    kept, and the catalogue's splits are disjoint.

    Attributes
    ----------
    level
        ``detector`` (``sim_*``) or ``particle`` (``gen_*``).

    References
    ----------
    Andreassen, Komiske, Metodiev, Nachman and Thaler, arXiv 1911.09107.

    Examples
    --------
    >>> OmniFold(level="particle").level
    'particle'
    """

    level: Literal["detector", "particle"] = "detector"

    name: ClassVar[str] = "omnifold"
    suffixes: ClassVar[tuple[str, ...]] = (".npz",)
    storage: ClassVar = open_npz

    @property
    def _prefix(self) -> str:
        return "sim" if self.level == "detector" else "gen"

    def count_rows(self, source: Source) -> int:
        """Return the number of events."""
        return len(source[f"{self._prefix}_jets"])

    def block(self, source: Source, rows: slice) -> RawJets:
        """Read some jets."""
        jets, stored = (source.rows(f"{self._prefix}_{name}", rows) for name in ("jets", "particles"))
        columns, counts = padded_rows({str(i): stored[..., i] for i in range(4)}, stored[..., 0] > 0)
        pt, y, phi, mass = (jets[:, i] for i in range(4))
        place = np.rint(10 * columns["3"]).astype(np.int64)
        is_listed = (place >= 0) & (place < len(_SPECIES))
        pid = np.where(is_listed, np.array(_SPECIES)[np.where(is_listed, place, 0)], 0)
        momenta = momenta_from_rapidity(
            _PT_UNIT * columns["0"],
            columns["1"] + np.repeat(y, counts),
            columns["2"] + np.repeat(phi, counts),
            mass_of(pid),
        )
        reduced = reduce_pid(pid)
        jet = {"pt": pt, "eta": eta_from_rapidity(pt, y, mass), "phi": phi, "mass": mass}
        jet["event"] = np.arange(rows.start, rows.start + len(jets))
        for name, ours in _OBSERVABLES.items():
            if f"{self._prefix}_{name}" in source:
                jet[ours] = source.rows(f"{self._prefix}_{name}", rows)
        if "gen_Zs" in source:
            boson = source.rows("gen_Zs", rows)
            jet |= {"z_pt": boson[:, 0], "z_y": boson[:, 1], "z_phi": boson[:, 2]}
        return RawJets({**momenta, "pid": reduced, "charge": charge_of(reduced)}, counts, jet)


class LevelPair(NamedTuple):
    """The same jets at two levels: row i of both comes from one event."""

    particle: Jets
    detector: Jets


def read_level_pairs(
    path: str | os.PathLike[str], *, start: int = 0, stop: int | None = None, reader: OmniFold | None = None
) -> LevelPair:
    """Read both levels of the same events.

    Parameters
    ----------
    path
    start, stop
        Rows of the file.
    reader
        Options other than the level.

    Returns
    -------
    LevelPair
        Of equal length; an event whose jet is empty at one level is left out at both.
    """
    reader = reader or OmniFold()
    particle, detector = (
        replace(reader, level=level).read(path, start=start, stop=stop) for level in ("particle", "detector")
    )
    _, here, there = np.intersect1d(particle.jet["event"], detector.jet["event"], return_indices=True)
    return LevelPair(particle[here], detector[there])
