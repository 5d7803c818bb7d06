"""The fast simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omnilearn_lab.simulation import reconstruct
from omnilearn_lab.simulation.cards import CARDS
from omnilearn_lab.simulation.detector import Deposits, log_normal, propagate, read_out, resolution
from omnilearn_lab.simulation.events import EventSource, Particles, cluster, delta_r, final_particles

from tests.simulation.helpers import gun

NAMES = ("ATLAS-like", "CMS-like", "full-like", "JetClass-like")
ATLAS_LIKE, CMS_LIKE, FULL_LIKE, JETCLASS_LIKE = map(CARDS.get, NAMES)
PROMPT_ANGLE = {CMS_LIKE: 0.735, ATLAS_LIKE: 0.345}  # arcsin(x / pt [GeV])


@pytest.mark.parametrize("card", [CMS_LIKE, ATLAS_LIKE], ids=lambda c: c.name)
@pytest.mark.parametrize("charge", [-1, 1])
@pytest.mark.parametrize("pt", [1.0, 2.0, 10.0])
def test_a_prompt_track_turns_by_the_known_angle(card, charge, pt):
    impact = propagate(gun(211, pt, charge=charge, phi=0.3), card)
    expected = np.arcsin(PROMPT_ANGLE[card] / pt)
    assert impact.phi[0] - 0.3 == pytest.approx(-charge * expected, rel=2e-3)
    assert impact.track_phi[0] == pytest.approx(0.3)
    assert impact.d0[0] == pytest.approx(0, abs=1e-9) and impact.dz[0] == pytest.approx(0, abs=1e-9)


def test_a_curling_track_ends_in_an_end_cap():
    impact = propagate(gun(211, 0.3, eta=0.1, charge=1), CMS_LIKE)
    assert impact.alive[0] and abs(impact.eta[0]) > 2  # inside half the radius, 3 m away


@given(eta=st.floats(-4, 4), phi=st.floats(-3.1, 3.1), pt=st.floats(0.1, 1000))
def test_neutral_particles_from_the_origin_keep_their_direction(eta, phi, pt):
    impact = propagate(gun(22, pt, eta=eta, phi=phi), CMS_LIKE)
    assert impact.eta[0] == pytest.approx(eta, abs=1e-9) and impact.phi[0] == pytest.approx(phi, abs=1e-9)


def test_displaced_neutral_particle_meets_the_barrel_where_geometry_says():
    impact = propagate(gun(22, 5.0, phi=np.pi / 2, vertex=(500.0, 0.0, 100.0)), CMS_LIKE)
    y = np.sqrt(1.29**2 - 0.5**2)
    assert impact.phi[0] == pytest.approx(np.arctan2(y, 0.5))
    assert impact.eta[0] == pytest.approx(np.arcsinh(0.1 / 1.29))


@pytest.mark.parametrize("phi", [-2.0, 0.0, 1.0])
@pytest.mark.parametrize("charge", [-1, 1])
def test_impact_parameters_of_stiff_tracks(charge, phi):
    x, y, z, pt, eta = 3.0, -2.0, 5.0, 1000.0, 0.7
    impact = propagate(gun(211, pt, eta=eta, charge=charge, phi=phi, vertex=(x, y, z)), CMS_LIKE)
    assert impact.d0[0] == pytest.approx(x * np.sin(phi) - y * np.cos(phi), abs=1e-3)
    along = x * np.cos(phi) + y * np.sin(phi)
    assert impact.dz[0] == pytest.approx(z - along * np.sinh(eta), abs=1e-3)


@given(charge=st.sampled_from([-1, 1]), pt=st.floats(1, 50), phi=st.floats(-3, 3), eta=st.floats(-2, 2))
def test_impact_parameter_does_not_depend_on_where_on_its_way_a_track_is_born(charge, pt, phi, eta):
    """Start 20 mm further along the same helix: the closest approach is the same point."""
    first = gun(211, pt, eta=eta, charge=charge, phi=phi, vertex=(2.0, 1.0, 3.0))
    radius = 1e3 * pt / (0.299792458 * charge * 3.8)  # [mm]
    turn = 20.0 / radius
    x = 2.0 + radius * (np.sin(phi) - np.sin(phi - turn))
    y = 1.0 - radius * (np.cos(phi) - np.cos(phi - turn))
    z = 3.0 + radius * np.sinh(eta) * turn
    second = gun(211, pt, eta=eta, charge=charge, phi=phi - turn, vertex=(x, y, z))
    a, b = propagate(first, CMS_LIKE), propagate(second, CMS_LIKE)
    assert a.d0[0] == pytest.approx(b.d0[0], abs=1e-6) and a.dz[0] == pytest.approx(b.dz[0], abs=1e-5)
    assert a.eta[0] == pytest.approx(b.eta[0], abs=1e-6)


@pytest.mark.parametrize("vertex", [(1300.0, 0.0, 0.0), (0.0, 0.0, 3001.0)])
def test_particles_born_outside_are_lost(vertex):
    assert not propagate(gun(22, 5.0, vertex=vertex), CMS_LIKE).alive[0]


NOTHING = Deposits(*(np.zeros(0, dtype=int), *(np.zeros(0) for _ in range(3))))


def deposits(energies, *, eta=0.01, phi=0.01):
    n = len(energies)
    return Deposits(np.arange(n), np.full(n, eta), np.full(n, phi), np.asarray(energies, dtype=float))


def test_log_normal_has_the_mean_and_spread_asked_for():
    n = 200_000
    drawn = log_normal(np.full(n, 10.0), np.full(n, 3.0), np.random.default_rng(1))
    assert drawn.min() > 0
    assert drawn.mean() == pytest.approx(10, abs=5 * 3 / np.sqrt(n))
    assert drawn.std() == pytest.approx(3, rel=0.02)


@pytest.mark.parametrize(
    ("card", "eta", "energy", "sigma"),
    [
        (CMS_LIKE.ecal, 0.0, 50.0, np.sqrt(0.4**2 + 0.11**2 * 50 + 0.4**2)),
        (CMS_LIKE.ecal, 1.0, 50.0, 1.64 * np.sqrt(0.4**2 + 0.11**2 * 50 + 0.4**2)),
        (CMS_LIKE.ecal, -2.0, 50.0, 2.16 * np.sqrt(0.4**2 + 0.11**2 * 50 + 0.4**2)),
        (CMS_LIKE.hcal, 0.0, 100.0, np.sqrt(25 + 225)),
        (CMS_LIKE.hcal, 4.0, 100.0, np.sqrt(169 + 729)),
        (ATLAS_LIKE.hcal, 1.0, 100.0, np.sqrt(3.02**2 + 0.5205**2 * 100 + 1.59**2)),
        (ATLAS_LIKE.ecal, 4.0, 100.0, np.sqrt(3.5**2 + 0.285**2 * 100)),
    ],
)
def test_resolution_by_hand(card, eta, energy, sigma):
    assert resolution(card, np.array([eta]), np.array([energy]))[0] == pytest.approx(sigma)


def test_lone_deposit_becomes_a_neutral_object_inside_its_tower():
    found = read_out(
        CMS_LIKE.ecal, deposits([100.0] * 500), NOTHING, np.zeros(0), rng=np.random.default_rng(1)
    ).neutral
    assert np.array_equal(found.event, np.arange(500))
    assert found.eta.min() >= 0 and found.eta.max() <= 0.0174
    assert found.phi.min() >= 0 and found.phi.max() <= np.pi / 180


def test_deposits_in_one_tower_are_one_object_and_in_two_events_two():
    rng = np.random.default_rng(1)
    together = Deposits(
        np.array([0, 0, 1]), np.full(3, 0.01), np.full(3, 0.01), np.array([50.0, 50.0, 100.0])
    )
    found = read_out(CMS_LIKE.ecal, together, NOTHING, np.zeros(0), rng=rng).neutral
    assert found.event.tolist() == [0, 1]
    assert found.energy == pytest.approx([100, 100], rel=0.1)


def test_energy_below_threshold_and_outside_is_not_seen():
    rng = np.random.default_rng(1)
    faint = read_out(CMS_LIKE.hcal, deposits([0.2] * 100), NOTHING, np.zeros(0), rng=rng).neutral
    outside = read_out(CMS_LIKE.hcal, deposits([500.0], eta=5.2), NOTHING, np.zeros(0), rng=rng).neutral
    assert len(outside.event) == 0
    assert np.all(faint.energy >= CMS_LIKE.hcal.min_energy)


def test_tower_that_agrees_with_its_track_gives_no_object():
    rng = np.random.default_rng(2)
    n = 4000
    seen = deposits([50.0] * n)
    result = read_out(CMS_LIKE.hcal, seen, seen, np.full(n, 3.0), rng=rng)
    sigma = float(resolution(CMS_LIKE.hcal, np.array([0.0435]), np.array([50.0]))[0])
    assert 0.05 < len(result.neutral.event) / n < 0.2  # more than one sigma above the track
    scaled = np.delete(result.factor, result.neutral.event)
    assert np.array_equal(result.factor[result.neutral.event], np.ones(len(result.neutral.event)))
    assert 0 < scaled.std() * 50 < 9 / sigma  # pulled towards the tower by its small weight 9 / sigma^2


def test_missing_energy_leaves_the_track_alone():
    tracks = deposits([50.0])
    result = read_out(CMS_LIKE.hcal, deposits([0.0]), tracks, np.array([3.0]), rng=np.random.default_rng(1))
    assert len(result.neutral.event) == 0 and result.factor[0] == pytest.approx(1)


def test_energy_is_conserved_on_average():
    n = 20_000
    found = read_out(
        CMS_LIKE.hcal, deposits([50.0] * n), NOTHING, np.zeros(0), rng=np.random.default_rng(4)
    ).neutral
    sigma = np.sqrt(2.5**2 + 1.5**2 * 50)
    assert len(found.event) == n
    assert found.energy.mean() == pytest.approx(50, abs=5 * sigma / np.sqrt(n))
    assert found.energy.std() == pytest.approx(sigma, rel=0.03)


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
