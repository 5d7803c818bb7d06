"""Hadron content, jet labels, track origins and lifetime signs."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.simulation import simulate
from omnilearn_lab.simulation.clustering import Clusters
from omnilearn_lab.simulation.heavy_flavour import has_quark, jet_flavour, track_origin, weak_hadrons

from tests.simulation.helpers import record

# b quark (1) -> B*0 (2) -> B0 (3) -> D- (4) pi+ (5); D- -> K+ (6)
# tau (7) -> pi (8); pi (9); c quark (10) -> D0 (11) -> K (12)
CHAIN = [
    (5, -23, 0, 60.0, 0.0, 0.0),
    (513, -83, 1, 50.0, 0.0, 0.0),
    (511, -91, 2, 49.0, 0.0, 0.0),
    (-411, -91, 3, 30.0, 2.0, 0.0),
    (211, 91, 3, 15.0, -1.0, 0.0),
    (321, 91, 4, 20.0, 1.0, 0.0),
    (15, -23, 0, 0.0, 40.0, 0.0),
    (-211, 91, 7, 0.0, 30.0, 0.0),
    (211, 84, 0, -40.0, 0.0, 0.0),
    (4, -23, 0, 0.0, -60.0, 0.0),
    (421, -83, 10, 0.0, -50.0, 0.0),
    (-321, 91, 11, 0.0, -40.0, 0.0),
]


def axes(phi):
    n = len(phi)
    zero = np.zeros(n)
    return Clusters(
        np.zeros(n, int),
        *(np.arange(n), zero, zero, zero, np.array(phi), zero, np.zeros(n + 1, int), np.zeros(0, int)),
    )


@pytest.mark.parametrize(
    ("pid", "beauty", "charm"),
    [
        *(
            (511, True, False),
            (-531, True, False),
            (5122, True, False),
            (541, True, False),
            (100553, True, False),
        ),
        *((421, False, True), (-4122, False, True), (10431, False, True), (443, False, True)),
        *(
            (211, False, False),
            (310, False, False),
            (5, False, False),
            (4, False, False),
            (5503, False, False),
        ),
        *((2212, False, False), (22, False, False), (15, False, False)),
    ],
)
def test_hadron_content(pid, beauty, charm):
    assert has_quark(np.array([pid]), 5)[0] == beauty and has_quark(np.array([pid]), 4)[0] == charm


def test_the_weakly_decaying_hadron_is_the_last_of_its_flavour():
    batch = record(CHAIN)
    assert weak_hadrons(batch, 5).tolist() == [3] and weak_hadrons(batch, 4).tolist() == [4, 11]


def test_labels_prefer_b_over_c_over_tau():
    flavour = jet_flavour(axes([0.0, np.pi / 2, np.pi, -np.pi / 2]), record(CHAIN))
    assert flavour.tolist() == [2, 3, 0, 1]


def test_origins():
    batch = record(CHAIN)
    batch["x"][9] = 5.0
    assert track_origin(batch, np.array([5, 6, 8, 9, 12])).tolist() == [3, 4, 6, 7, 5]
    batch["x"][9] = 0.05
    assert track_origin(batch, np.array([9])).tolist() == [2]


@pytest.mark.slow
def test_flavour_jets_look_like_flavour_jets():
    jets = simulate("atlas_flavour", 3000, seed=2, workers=1, progress=False)
    shares = np.bincount(jets.label, minlength=4) / len(jets)
    assert shares == pytest.approx([0.5, 0.12, 0.35, 0.03], abs=0.07)
    flavour = jets.label[jets.jet_index]
    origin = jets.particles["origin"]
    assert set(np.unique(origin)) == {2, 3, 4, 5, 6, 7}
    # Without underlying event and within |d0| < 3.5 mm, the shares of b tracks (0.56 with it) and of primary
    # tracks in light jets (0.92 without the cut) can only be larger, those of large d0 only smaller.
    assert 0.55 < np.isin(origin[flavour == 2], (3, 4)).mean() < 0.68
    assert 0.92 < (origin[flavour == 0] == 2).mean() < 0.99
    large = np.abs(jets.particles["d0"]) > 0.2
    light, charm, beauty = (large[flavour == f].mean() for f in (0, 1, 2))
    assert 0.02 < light < 0.065 and light < charm < 0.11 and 0.2 < beauty < 0.31
    from_b = np.isin(origin, (3, 4)) & large
    assert (jets.particles["lifetime_d0"][from_b] > 0).mean() > 0.8  # decays lie in front
    prompt = (origin == 2) & (flavour == 0)
    assert (jets.particles["lifetime_d0"][prompt] > 0).mean() == pytest.approx(0.5, abs=0.05)
    sign_z = jets.particles["lifetime_dz"][from_b & (np.abs(jets.particles["dz"]) > 0.5)] > 0
    assert sign_z.mean() > 0.8
    assert (jets.particles["charge"] != 0).all() and jets.counts.max() <= 40
    assert jets.particles["pt"].min() > 0.5
