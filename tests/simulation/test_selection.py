"""From events to jets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from omnilearn_lab.simulation import recipe, simulate
from omnilearn_lab.simulation.events import Clusters, EventBatch, EventSource, cluster
from omnilearn_lab.simulation.recipes import JetWindow, Profile
from omnilearn_lab.simulation.selection import (
    build_jets,
    find_jets,
    hadronic_taus,
    has_quark,
    in_window,
    jet_columns,
    jet_flavour,
    observe,
    track_origin,
    weak_hadrons,
)

from tests.simulation.helpers import gun, record, with_profile
from tests.simulation.test_events import particles

BATCH = EventBatch(np.array([0, 1, 2]), {}, np.array([1.0, 0.25]))


def test_threshold_on_constituents():
    objects = gun(22, 1.0, n=100)
    for threshold, n_kept in ((0.99, 100), (1.01, 0)):
        chosen = with_profile("quark_gluon", quick=Profile(min_pt=threshold))
        assert len(observe(chosen, objects, np.random.default_rng(1))) == n_kept


def test_window_in_pt_and_eta_or_rapidity():
    found = cluster(particles([(0, 50, 1.0, 0.3), (0, 50, 1.0, -0.3), (0, 20, -1, 3)], 1), 1.0)
    middle = (found.eta[0] + found.rapidity[0]) / 2  # rapidity of a massive jet is smaller
    window = JetWindow(1.0, (30.0, 200.0), (-2.0, middle))
    assert in_window(window, found).tolist() == [False, False]
    assert in_window(replace(window, use_rapidity=True), found).tolist() == [True, False]


def test_jets_lie_above_the_smallest_pt_of_the_window():
    chosen = with_profile("jetclass", window=JetWindow(0.4, (30.0, 100.0), (-2, 2)))
    objects = particles([(0, 50, 0, 0), (0, 20, 1, 2)], 1)
    assert len(find_jets(chosen, objects)) == 1 and len(find_jets(chosen, objects, min_pt=5.0)) == 2


def test_weights_come_from_the_biased_phase_space_only():
    event = np.array([1, 0])
    biased, plain = recipe("cms_open_data"), recipe("jetclass")
    assert jet_columns(biased, biased.samples[0], BATCH, event)["weight"].tolist() == [0.25, 1.0]
    columns = jet_columns(plain, plain.samples[3], BATCH, event)
    assert "weight" not in columns and columns["label"].tolist() == [3, 3]
    assert "label" not in jet_columns(biased, biased.samples[0], BATCH, event)  # the selector finds it


@pytest.mark.parametrize(("count_kept", "multiplicity"), [(False, 5), (True, 3)])
def test_multiplicity_counts_all_or_the_kept_constituents(count_kept, multiplicity):
    chosen = with_profile("jetnet30", max_constituents=3, count_kept=count_kept)
    objects = particles([(0, pt, 0.01 * pt, 0) for pt in (10, 30, 20, 5, 15)], 1)
    objects.columns["pid"], objects.columns["charge"] = np.full(5, 22), np.zeros(5)
    found = cluster(objects, 0.8)
    jets = build_jets(chosen, objects, found, np.array([0]), {"label": [0]})["jets"]
    assert jets.particles["pt"].tolist() == [30, 20, 15] and jets.jet["multiplicity"][0] == multiplicity
    assert jets.jet["pt"][0] == pytest.approx(80)  # of all constituents


def test_nothing_chosen_gives_nothing():
    objects = particles([(0, 10, 0, 0)], 1)
    assert build_jets(recipe("jetnet30"), objects, cluster(objects, 0.8), np.zeros(0, int), {}) == {}


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


HADRONIC = 0.648  # of all tau decays (Particle Data Group)
MODES = {0: 0.115, 1: 0.259, 2: 0.108, 10: 0.098, 11: 0.048}  # branching fractions, kaons included
N_EVENTS = 1000  # of two taus


def with_charge(batch):
    charges = {211: 1.0, -211: -1.0, 321: 1.0}
    batch.entries["charge"] = np.array([charges.get(code, 0.0) for code in batch["id"]])
    return batch


@pytest.mark.parametrize(
    ("products", "mode"),
    [
        ([211], 0),
        ([211, 111], 1),
        ([321, 111, 111, 111], 2),
        ([211, 211, -211], 10),
        ([211, 211, -211, 111, 111], 11),
        ([211, 311], 20),
    ],
)
def test_decay_mode_and_visible_momentum_by_hand(products, mode):
    """A tau that hands on to its last copy, which decays to a neutrino and the products."""
    rows = [(15, -23, 0, 50.0, 0.0, 9.0), (15, -51, 1, 50.0, 0.0, 9.0), (16, 91, 2, 20.0, 0.0, 3.0)]
    rows += [(code, 91, 2, 30.0 / len(products), 1.0, 6.0 / len(products)) for code in products]
    taus = hadronic_taus(with_charge(record(rows)))
    assert taus["decay_mode"].tolist() == [mode]
    assert taus["visible_pt"][0] == pytest.approx(np.hypot(30.0, len(products)))
    assert taus["visible_eta"][0] == pytest.approx(np.arcsinh(6.0 / taus["visible_pt"][0]))


def test_leptonic_decays_are_left_out():
    rows = [(15, -23, 0, 50.0, 0.0, 9.0), (16, 91, 1, 20.0, 0.0, 3.0), (11, 91, 1, 20.0, 0.0, 3.0)]
    assert not len(hadronic_taus(with_charge(record(rows)))["event"])


def test_decay_modes_have_the_known_branching_fractions():
    chosen = recipe("hadronic_taus")
    bare = ("PartonLevel:ISR=off", "PartonLevel:FSR=off")  # the decay of a tau does not depend on them
    settings = (*chosen.settings, *chosen.active.settings, *chosen.samples[0].settings, *bare)
    taus = hadronic_taus(EventSource(settings, 3).batch(N_EVENTS))
    n_all = 2 * N_EVENTS
    counts = {mode: np.count_nonzero(taus["decay_mode"] == mode) for mode in MODES}
    for mode, expected in MODES.items():
        error = np.sqrt(expected * (1 - expected) / n_all)
        assert counts[mode] / n_all == pytest.approx(expected, abs=5 * error), mode
    error = np.sqrt(HADRONIC * (1 - HADRONIC) / n_all)
    assert len(taus["event"]) / n_all == pytest.approx(HADRONIC, abs=5 * error)
    assert taus["visible_mass"].max() < 1.777 + 1e-3
    assert np.median(taus["visible_mass"][taus["decay_mode"] == 1]) == pytest.approx(0.77, abs=0.06)  # rho
    assert taus["visible_mass"][taus["decay_mode"] == 0].max() < 0.5  # a pion or a kaon


@pytest.fixture(scope="module")
def jets():
    return simulate("hadronic_taus", 400, workers=1, progress=False, seed=2)


def test_jets_carry_what_a_regression_aims_at(jets):
    is_tau = jets.label == 1
    assert jets.class_names == ("jet", "tau") and is_tau.sum() == 200
    assert set(np.unique(jets.jet["decay_mode"][is_tau])) <= {0, 1, 2, 10, 11, 20}
    assert (jets.jet["decay_mode"][~is_tau] == -1).all() and not jets.jet["visible_pt"][~is_tau].any()
    response = jets.jet["pt"][is_tau] / jets.jet["visible_pt"][is_tau]
    assert np.median(response) == pytest.approx(1.0, abs=0.06) and 0.05 < response.std() < 0.6
    assert np.abs(jets.jet["eta"] - jets.jet["visible_eta"])[is_tau].max() < 0.2


def test_taus_are_narrow_and_poor(jets):
    is_tau = jets.label == 1
    assert jets.counts[is_tau].mean() < 0.7 * jets.counts[~is_tau].mean()
    charged = np.add.reduceat((jets.particles["charge"] != 0).astype(float), jets.offsets[:-1])
    one_prong = is_tau & np.isin(jets.jet["decay_mode"], (0, 1, 2))
    three_prong = is_tau & np.isin(jets.jet["decay_mode"], (10, 11))
    assert np.median(charged[one_prong]) == 1 and np.median(charged[three_prong]) == 3
