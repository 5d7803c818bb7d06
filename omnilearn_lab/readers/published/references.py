"""Reference sets of simulated jets: top tagging, quark and gluon jets, JetNet, OmniFold's Z + jets."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from omnilearn_lab.errors import DataFileError
from omnilearn_lab.jets import PairedJets, charge_of, reduce_pid
from omnilearn_lab.jets.columns import mass_of
from omnilearn_lab.jets.files import tell_left_out
from omnilearn_lab.machine import StrPath
from omnilearn_lab.readers.base import RawJets, Reader, Source
from omnilearn_lab.readers.kinematics import (
    Convention,
    eta_from_rapidity,
    jet_axis,
    momenta_from_rapidity,
    padded_rows,
    published_charge,
    whole_codes,
)
from omnilearn_lab.readers.storage import open_frame, open_npz
from omnilearn_lab.settings import settings

_SLOTS = 200
_COLUMNS = [f"{part}_{i}" for i in range(_SLOTS) for part in ("E", "PX", "PY", "PZ")]


@settings
class TopTagging(Reader):
    """Zenodo 2603256, store key ``table``, columns ``E_0, PX_0, PY_0, PZ_0, ..., is_signal_new``.

    The jet is the sum of its (up to 200) constituents. ``deta`` uses pseudorapidity; the
    OmniLearn conversion uses rapidity, which is the same for these massless constituents.
    The columns ``truthE ...`` are the top parton and are not read.

    References
    ----------
    Kasieczka, Plehn et al., arXiv 1902.09914.

    Examples
    --------
    >>> TopTagging().class_names
    ('QCD', 'top')
    """

    name: ClassVar[str] = "top_tagging"
    class_names: ClassVar[tuple[str, ...]] = ("QCD", "top")
    storage: ClassVar = partial(open_frame, key="table")

    def block(self, source: Source, rows: slice) -> RawJets:
        """Read some jets."""
        frame = source.file.rows(rows.start, rows.stop)
        label = frame["is_signal_new"]
        values = frame.matrix(_COLUMNS).reshape(-1, _SLOTS, 4)
        real = np.any(values != 0, axis=-1)
        energy, px, py, pz = values[real].astype(np.float64).T
        momenta = {"px": px, "py": py, "pz": pz, "energy": energy}
        return RawJets(momenta, real.sum(axis=1), {"label": label})


_SLOTS_V1 = 100


@settings
class EnergyFlow(Reader):
    """Zenodo 3164691 (Pythia) and 3066475 (Herwig): arrays ``X`` (N, M, 4) and ``y``.

    M differs from file to file, and particles are not sorted.

    Attributes
    ----------
    convention
        ``physical``: masses from the PDG codes in jets and particles alike, pseudorapidity, true charges,
        all particles. ``omnilearn``: what the OmniLearn conversion writes: the first 100
        particles as stored (not the hardest), rapidity minus the jet's pseudorapidity as ``deta``,
        E = pt cosh(y), and `published_charge`; the jet is the sum of all particles.

    References
    ----------
    Komiske, Metodiev and Thaler, arXiv 1810.05165.

    Examples
    --------
    >>> EnergyFlow().class_names
    ('gluon', 'quark')
    """

    convention: Convention = "physical"

    name: ClassVar[str] = "energyflow"
    suffixes: ClassVar[tuple[str, ...]] = (".npz",)
    class_names: ClassVar[tuple[str, ...]] = ("gluon", "quark")
    storage: ClassVar = open_npz
    counted: ClassVar[str] = "y"

    def block(self, source: Source, rows: slice) -> RawJets:
        """Read some jets."""
        values, label = source.rows("X", rows), source.rows("y", rows)
        mask = values[..., 0] != 0
        names = ("pt", "y", "phi", "pid")
        columns, counts = padded_rows({name: values[..., i] for i, name in enumerate(names)}, mask)
        pid = whole_codes(columns["pid"], source.path)
        momenta = momenta_from_rapidity(columns["pt"], columns["y"], columns["phi"], mass_of(pid))
        jet = jet_axis(momenta, counts) | {"label": label}
        reduced = reduce_pid(pid)
        particles = {**momenta, "pid": reduced, "charge": charge_of(reduced)}
        if self.convention == "physical":
            return RawJets(particles, counts, jet)
        particles["deta"] = columns["y"] - np.repeat(jet["eta"], counts)
        particles["energy"] = columns["pt"] * np.cosh(columns["y"])
        particles["charge"] = published_charge(pid)
        return RawJets(particles, counts, jet).first_particles(_SLOTS_V1)


@settings
class JetNet(Reader):
    """Zenodo 6975118 (30 particles) and 6975117 (150): ``particle_features``, ``jet_features``.

    The columns of a particle are eta and phi relative to the jet, pt / jet pt, and the mask: the
    fourth is not an energy. Particles are massless, E = pt cosh(eta). There is no azimuth (0 here), and the
    class is the first letter of the file name. In the 30-particle files the multiplicity is capped at 30.

    Attributes
    ----------
    label
        Class of all jets, for files with another name.

    References
    ----------
    Kansal et al., arXiv 2106.11535.

    Examples
    --------
    >>> JetNet().class_names
    ('gluon', 'light quark', 'top', 'W', 'Z')
    """

    label: int | None = None

    name: ClassVar[str] = "jetnet"
    class_names: ClassVar[tuple[str, ...]] = ("gluon", "light quark", "top", "W", "Z")
    counted: ClassVar[str] = "jet_features"

    def block(self, source: Source, rows: slice) -> RawJets:
        """Read some jets."""
        label = self._label(source.path)
        particles, jets = source.rows("particle_features", rows), source.rows("jet_features", rows)
        pt, eta, mass, multiplicity = (jets[:, i] for i in range(4))
        mask = ~(particles[..., 3] <= 0.5) & ~(particles[..., 2] <= 0)  # not-a-number stays and is seen
        momentum = particles[..., 2] * pt[:, None]
        columns = {
            "deta": particles[..., 0],
            "dphi": particles[..., 1],
            "pt": momentum,
            "energy": momentum * np.cosh(particles[..., 0] + eta[:, None]),
        }
        flat, counts = padded_rows(columns, mask)
        jet = {"pt": pt, "eta": eta, "phi": np.zeros_like(pt), "mass": mass, "multiplicity": multiplicity}
        return RawJets(flat, counts, {**jet, "label": np.full(len(pt), label)})

    def _label(self, path: Path) -> int:
        if self.label is not None:
            return self.label
        letter = re.fullmatch(r"([gqtwz])(30|150)?\.(hdf5|h5)", path.name)
        if letter is None:
            raise DataFileError(
                f"'{path}': the class of a JetNet file is the first letter of its name (g, q, t, w or z, "
                "as in 'g.hdf5' or 't150.hdf5'); rename it, or give JetNet(label=...)"
            )
        return "gqtwz".index(letter[1])


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
        columns, counts = padded_rows({str(i): stored[..., i] for i in range(4)}, ~(stored[..., 0] <= 0))
        pt, y, phi, mass = (jets[:, i] for i in range(4))
        place = whole_codes(10 * columns["3"], source.path)
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


def read_level_pairs(
    path: StrPath, *, start: int = 0, stop: int | None = None, reader: OmniFold | None = None
) -> PairedJets:
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
    PairedJets
        Of equal length; an event whose jet is empty at one level is left out at both.
    """
    reader = reader or OmniFold()
    particle, detector = (
        replace(reader, level=level).read(path, start=start, stop=stop) for level in ("particle", "detector")
    )
    _, here, there = np.intersect1d(particle.jet["event"], detector.jet["event"], return_indices=True)
    n = max(len(particle), len(detector))
    tell_left_out(path, n - len(here), n, "without particles at the other level")
    return PairedJets(particle[here], detector[there])
