"""Single particles through the whole detector, and the response to jets."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.simulation import reconstruct
from omnilearn_lab.simulation.cards import ATLAS_LIKE, CMS_LIKE, FULL_LIKE, JETCLASS_LIKE
from omnilearn_lab.simulation.clustering import cluster
from omnilearn_lab.simulation.events import EventSource, Particles, final_particles
from omnilearn_lab.simulation.truth import delta_r

from tests.simulation.helpers import gun

N = 4000


def shoot(pid, pt, *, card=CMS_LIKE, seed=1, **arguments):
    return reconstruct(gun(pid, pt, n=N, **arguments), card, np.random.default_rng(seed))


def counts(objects: Particles, pid: int) -> np.ndarray:
    return np.bincount(objects["event"][objects["pid"] == pid], minlength=objects.n_events)


def binomial(probability: float) -> float:
    return 5 * np.sqrt(probability * (1 - probability) / N)


def test_a_charged_pion_is_a_track_or_else_a_neutral_hadron():
    objects = shoot(211, 50.0, charge=1)
    has_track, n_neutral = counts(objects, 211) == 1, counts(objects, 130)
    assert has_track.mean() == pytest.approx(0.95, abs=binomial(0.95))
    assert np.all(n_neutral[~has_track] == 1)
    assert 0.10 < (n_neutral[has_track] > 0).mean() < 0.20  # the tower fluctuates up by more than one sigma
    assert set(np.unique(objects["pid"])) <= {211, 130}


def test_a_neutron_is_one_neutral_hadron_with_the_hadronic_resolution():
    objects = shoot(2112, 50.0)
    assert np.all(counts(objects, 130) == 1) and len(objects) == N
    sigma = np.sqrt((0.05 * 50) ** 2 + 1.5**2 * 50) / 50  # 0.22
    assert objects["energy"].mean() == pytest.approx(50, abs=5 * 50 * sigma / np.sqrt(N))
    assert objects["energy"].std() / 50 == pytest.approx(sigma, rel=0.06)


def test_a_photon_has_the_electromagnetic_resolution():
    objects = shoot(22, 50.0)
    assert np.all(counts(objects, 22) == 1) and len(objects) == N
    assert objects["energy"].std() == pytest.approx(0.96, rel=0.06)


def test_muons_are_tracks_only_and_neutral_kaons_share():
    assert counts(shoot(13, 50.0, charge=-1), 13).mean() == pytest.approx(0.99, abs=binomial(0.99))
    kaon = shoot(310, 100.0)
    photon = kaon["energy"][kaon["pid"] == 22].mean()
    assert photon == pytest.approx(30, abs=1) and counts(kaon, 22).mean() > 0.99


@pytest.mark.parametrize(
    ("eta", "pt", "efficiency"), [(0.0, 0.8, 0.70), (2.0, 5.0, 0.85), (2.0, 0.9, 0.60), (2.6, 5.0, 0)]
)
def test_track_efficiency(eta, pt, efficiency):
    found = counts(shoot(211, pt, eta=eta, charge=1, card=ATLAS_LIKE), 211)
    assert found.mean() == pytest.approx(efficiency, abs=binomial(efficiency) + 1e-9)


def test_impact_parameters_are_smeared_by_the_resolution_they_carry():
    objects = shoot(13, 5.0, charge=-1, vertex=(0.3, -0.2, 1.0))
    tracks = objects.select(objects["charge"] != 0)
    phi = np.arctan2(tracks["py"], tracks["px"])
    pull = (tracks["d0"] - (0.3 * np.sin(phi) + 0.2 * np.cos(phi))) / tracks["d0_err"]
    assert abs(pull.mean()) < 5 / np.sqrt(len(pull)) and pull.std() == pytest.approx(1, abs=0.06)
    assert np.median(tracks["d0_err"]) == pytest.approx(0.028, rel=0.1)  # tabulated by CMS at 5 GeV
    assert np.median(tracks["dz_err"]) == pytest.approx(0.048, rel=0.1)


def test_objects_without_track_have_no_impact_parameters_and_no_index():
    objects = shoot(310, 100.0)
    for name in ("d0", "d0_err", "dz", "dz_err", "charge"):
        assert not objects[name].any()
    assert np.all(objects["index"] == -1)


def test_same_generator_same_objects():
    first, second = (shoot(211, 20.0, charge=1, seed=5) for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first.columns)


def test_objects_are_ordered_by_event_and_finite():
    objects = shoot(211, 20.0, charge=1)
    assert np.all(np.diff(objects["event"]) >= 0)
    assert all(np.isfinite(objects[name]).all() for name in objects.columns)


def test_full_like_response_puts_hadronic_energy_into_photons():
    photons = {card.name: counts(shoot(2112, 50.0, card=card), 22).mean() for card in (CMS_LIKE, FULL_LIKE)}
    assert photons["CMS-like"] == 0 and photons["full-like"] > 0.4


def test_no_particles_give_no_objects():
    empty = gun(22, 5.0).select(np.zeros(1, dtype=bool))
    assert len(reconstruct(empty, CMS_LIKE, np.random.default_rng(1))) == 0


@pytest.mark.parametrize("pt", [20.0, 50.0])
def test_towers_alone_set_the_energy_scale_of_hadrons_in_jetclass(pt):
    total = {}
    for card in (CMS_LIKE, JETCLASS_LIKE):
        objects = shoot(211, pt, charge=1, card=card)
        total[card.name] = np.bincount(objects["event"], objects["energy"], objects.n_events)
    sigma = np.hypot(0.05 * pt, 1.5 * np.sqrt(pt))
    error = sigma / np.sqrt(N)
    assert total["JetClass-like"].mean() == pytest.approx(pt, abs=5 * error)
    assert total["JetClass-like"].std() == pytest.approx(sigma, rel=0.06)
    assert total["CMS-like"].mean() > pt + 5 * error  # upward fluctuations only


def test_tracks_below_the_threshold_of_their_tower_vanish_in_jetclass():
    objects = shoot(211, 1.5, charge=1, card=JETCLASS_LIKE)
    assert counts(objects, 211).mean() < 0.6 < 0.9 < counts(shoot(211, 1.5, charge=1), 211).mean()
    assert objects.pt.min() > 0 and all(np.isfinite(values).all() for values in objects.columns.values())
    resolution = objects["d0_err"][objects["charge"] != 0]  # of the momentum the tracker measured
    assert resolution == pytest.approx(0.064, rel=0.05)


# ---- response to jets ----------------------------------------------------------------------------

RESPONSE = [  # pt range, card, mean, central 68 % half width: measured with an independent implementation
    ((600, 750), CMS_LIKE, 1.002, 0.046),
    ((600, 750), ATLAS_LIKE, 0.994, 0.023),
    ((1000, 1250), CMS_LIKE, 1.002, 0.041),
    ((1000, 1250), ATLAS_LIKE, 0.995, 0.021),
]


def jet_response(pt_range, card, n_batches):
    settings = ["Beams:eCM=13000.", "PartonLevel:MPI=off", "HardQCD:all=on"]
    settings += [f"PhaseSpace:pTHatMin={pt_range[0] - 50}", f"PhaseSpace:pTHatMax={pt_range[1] + 100}"]
    settings += ["ParticleDecays:limitTau0=on", "ParticleDecays:tau0Max=10."]
    source, rng = EventSource(settings, 11), np.random.default_rng(11)
    ratios = []
    for _ in range(n_batches):
        particles = final_particles(source.batch(250))
        truth = cluster(particles, 0.8, min_pt=20.0)
        found = cluster(reconstruct(particles, card, rng), 0.8, min_pt=20.0)
        first, second = truth.rank < 2, found.rank < 2
        both = np.intersect1d(truth.event[first & (truth.rank == 1)], found.event[second & (found.rank == 1)])
        for rank in (0, 1):
            a = np.flatnonzero((truth.rank == rank) & np.isin(truth.event, both))
            b = [np.flatnonzero((found.rank == r) & np.isin(found.event, both)) for r in (0, 1)]
            distances = [delta_r(truth.eta[a], truth.phi[a], found.eta[c], found.phi[c]) for c in b]
            near = np.where(distances[0] < distances[1], b[0], b[1])
            good = (np.minimum(*distances) < 0.3) & (truth.pt[a] > pt_range[0]) & (truth.pt[a] < pt_range[1])
            good &= np.abs(truth.eta[a]) < 1.3
            ratios.append(found.pt[near[good]] / truth.pt[a[good]])
    return np.concatenate(ratios)


@pytest.mark.slow
@pytest.mark.parametrize(("pt_range", "card", "mean", "width"), RESPONSE)
def test_jet_response(pt_range, card, mean, width):
    ratio = jet_response(pt_range, card, n_batches=12)
    low, high = np.quantile(ratio, [0.16, 0.84])
    assert len(ratio) > 1000
    assert ratio.mean() == pytest.approx(mean, abs=0.006)
    assert (high - low) / 2 == pytest.approx(width, rel=0.12)
    assert (ratio < 0.8).mean() < 0.01  # no tail of jets that lost a displaced decay
