"""OmniFold Z + jets: npz files with the same jets at particle and at detector level."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.jets import Jets
from omnilearn_lab.jets.species import charge_of, reduce_pid
from omnilearn_lab.readers.base import RawJets, Reader, Rows, padded_rows
from omnilearn_lab.readers.masses import mass_of, momenta_from_rapidity
from omnilearn_lab.readers.npz import NpzFile, open_npz

__all__ = ["LevelPair", "OmniFold", "read_level_pairs"]

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


@dataclass(frozen=True)
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.level not in ("detector", "particle"):
            raise ConfigError(f"level={self.level!r}; 'detector' or 'particle' is expected")

    @contextmanager
    def open(self, path: Path) -> Iterator[Rows]:
        """Open the file."""
        prefix = "sim" if self.level == "detector" else "gen"
        with open_npz(path) as file:
            n_rows = file.n_rows(f"{prefix}_jets")
            yield Rows(n_rows, lambda start, stop: _rows(file, prefix, start, stop))


def _rows(file: NpzFile, prefix: str, start: int, stop: int) -> RawJets:
    jets = file.rows(f"{prefix}_jets", start, stop)
    stored = file.rows(f"{prefix}_particles", start, stop)
    columns, counts = padded_rows({str(i): stored[..., i] for i in range(4)}, stored[..., 0] > 0)
    pt, y, phi, mass = (jets[:, i] for i in range(4))
    place = np.rint(10 * columns["3"]).astype(np.int64)
    known = (place >= 0) & (place < len(_SPECIES))
    pid = np.where(known, np.array(_SPECIES)[np.where(known, place, 0)], 0)
    momenta = momenta_from_rapidity(
        _PT_UNIT * columns["0"],
        columns["1"] + np.repeat(y, counts),
        columns["2"] + np.repeat(phi, counts),
        mass_of(pid),
    )
    reduced = reduce_pid(pid)
    eta = np.arcsinh(np.hypot(pt, mass) * np.sinh(y) / np.where(pt > 0, pt, 1))
    jet = {"pt": pt, "eta": eta, "phi": phi, "mass": mass, "event": np.arange(start, start + len(jets))}
    for name, ours in _OBSERVABLES.items():
        if f"{prefix}_{name}" in file.names:
            jet[ours] = file.rows(f"{prefix}_{name}", start, stop)
    if "gen_Zs" in file.names:
        boson = file.rows("gen_Zs", start, stop)
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
