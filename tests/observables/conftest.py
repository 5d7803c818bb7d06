"""Jets for the tests of this room: written out by hand, grown by a toy shower, or simulated."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.jets import Jets


def jets_from_rows(rows, **labels):
    """Massless particles given as (pt, rapidity, azimuth), one list per jet."""
    pt, y, phi = np.array([particle for row in rows for particle in row], dtype=float).T
    momenta = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(y), pt * np.cosh(y)], axis=-1)
    return Jets.from_four_momenta(momenta, np.cumsum([0, *map(len, rows)]), **labels)


def shower(rng, pt, n_splits):
    """Split a parton again and again: a few lines with the soft and collinear pattern of QCD."""
    row = [(pt, rng.uniform(-2, 2), rng.uniform(-np.pi, np.pi))]
    for _ in range(n_splits):
        parent = row.pop(int(rng.integers(len(row))))
        z, angle = 0.5 * 0.02 ** rng.uniform(), 0.4 * 0.01 ** rng.uniform()
        turn = rng.uniform(0, 2 * np.pi)
        dy, dphi = angle * np.cos(turn), angle * np.sin(turn)
        row.append((parent[0] * z, parent[1] + (1 - z) * dy, parent[2] + (1 - z) * dphi))
        row.append((parent[0] * (1 - z), parent[1] - z * dy, parent[2] - z * dphi))
    return row


@pytest.fixture(scope="session")
def build():
    return jets_from_rows


@pytest.fixture(scope="session")
def toy_jets():
    """150 shower-like jets of 1 to 60 massless particles."""
    rng = np.random.default_rng(20)
    return jets_from_rows([shower(rng, rng.uniform(100, 700), int(rng.integers(0, 60))) for _ in range(150)])


@pytest.fixture(scope="session")
def pythia_jets():
    """800 anti-kT jets (R = 0.8) of dijet events, particle masses included."""
    import awkward as ak
    import fastjet
    import pythia8mc

    pythia = pythia8mc.Pythia("", False)
    for line in ("Random:setSeed = on", "Random:seed = 11", "HardQCD:all = on", "PhaseSpace:pTHatMin = 400",
                 "Beams:eCM = 13000", "PartonLevel:MPI = off", "Print:quiet = on"):  # fmt: skip
        pythia.readString(line)
    pythia.init()
    events = ak.Array(pythia.nextBatch(420)).prt
    is_visible = events.status > 0
    for neutrino in (12, 14, 16):
        is_visible = is_visible & (abs(events.id) != neutrino)
    momenta = events.p[is_visible]
    particles = ak.zip({"px": momenta.px, "py": momenta.py, "pz": momenta.pz, "E": momenta.e})
    sequence = fastjet.ClusterSequence(particles, fastjet.JetDefinition(fastjet.antikt_algorithm, 0.8))
    hardest = ak.flatten(sequence.constituents(300.0)[:, :2], axis=1)[:800]
    flat = ak.flatten(hardest)
    momenta = np.stack([np.asarray(flat[k]) for k in ("px", "py", "pz", "E")], axis=-1)
    offsets = np.concatenate([[0], np.cumsum(ak.num(hardest))])
    return Jets.from_four_momenta(momenta, offsets)
