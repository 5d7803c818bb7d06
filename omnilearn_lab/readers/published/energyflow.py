"""EnergyFlow quark and gluon jets: npz files of (pt, rapidity, phi, PDG code)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from omnilearn_lab.jets import charge_of, reduce_pid
from omnilearn_lab.readers.base import RawJets, Reader, Source
from omnilearn_lab.readers.kinematics import (
    Convention,
    jet_axis,
    mass_of,
    momenta_from_rapidity,
    padded_rows,
    published_charge,
)
from omnilearn_lab.readers.npz import open_npz
from omnilearn_lab.settings import settings

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
        pid = np.rint(columns["pid"]).astype(np.int64)
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
