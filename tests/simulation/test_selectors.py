"""Every recipe gives the jets it promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from omnilearn_lab.jets import SPECIES
from omnilearn_lab.observables import observables
from omnilearn_lab.simulation import RECIPES, recipe, simulate, simulate_pairs
from omnilearn_lab.simulation.events import Clusters
from omnilearn_lab.simulation.selectors import _nearest_parton

from tests.simulation.helpers import mass_peak, record

RUN = {"workers": 1, "progress": False, "seed": 1}
CHEAP = ("h1_dis", "atlas_flavour", "omnifold_zjets", "lhco")


@pytest.fixture(scope="module")
def made():
    """Jets of the cheap recipes, simulated once."""
    return {name: simulate(name, 22, **RUN) for name in CHEAP}


def check(name, jets, n_jets):
    chosen = recipe(name)
    assert len(jets) == n_jets and jets.class_names == chosen.class_names
    eta = jets.jet["eta"]
    assert (jets.jet["pt"] > 0).all() and np.abs(eta).max() < 5
    if chosen.selector != "dijets":
        assert jets.jet["pt"].min() > chosen.window.pt[0] and jets.jet["pt"].max() < chosen.window.pt[1]
    if not chosen.window.use_rapidity:
        assert eta.min() > chosen.window.eta[0] and eta.max() < chosen.window.eta[1]
    assert jets.counts.max() <= chosen.max_constituents
    assert np.isin(jets.particles["pid"], SPECIES).all() and not (jets.particles["pid"] == 0).any()
    assert ({"d0", "d0_err", "dz", "dz_err"} <= set(jets.particles)) == chosen.impact_parameters
    assert ("weight" in jets.jet) == bool(chosen.weighting)
    assert np.abs(jets.particles["deta"]).max() < 3 * chosen.window.radius
    minimum = chosen.active.min_pt
    assert jets.particles["pt"].min() > minimum


@pytest.mark.parametrize("name", CHEAP)
def test_cheap_recipes(made, name):
    check(name, made[name], 22)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in RECIPES if name not in CHEAP])
def test_other_recipes(name):
    check(name, simulate(name, 20, **RUN), 20)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["jetclass", "cms_open_data", "aspen", "omnifold_zjets"])
def test_production_profiles(name):
    jets = simulate(recipe(name, profile="production"), 10, **RUN)
    assert len(jets) == 10 and jets.provenance["profile"] == "production"


def test_pairs_are_the_same_jets_at_two_levels(made):
    pairs = simulate_pairs("omnifold_zjets", 22, **RUN)
    truth, detector = pairs.truth, pairs.detector
    assert len(pairs) == 22 and np.array_equal(truth.jet["event"], detector.jet["event"])
    assert np.array_equal(detector.jet["pt"], made["omnifold_zjets"].jet["pt"])
    assert np.array_equal(truth.label, detector.label) and truth.jet["z_pt"].min() > 200
    ratio = detector.jet["pt"] / truth.jet["pt"]
    assert 0.85 < np.median(ratio) < 1.15
    back_to_back = np.abs(np.mod(truth.jet["phi"] - truth.jet["z_phi"], 2 * np.pi) - np.pi)
    assert np.median(back_to_back) < 0.5
    assert (truth.provenance["level"], detector.provenance["level"]) == ("truth", "detector")


def test_dijets_come_in_pairs_of_one_event_hardest_first(made):
    jets = made["lhco"]
    first, second = jets[0::2], jets[1::2]
    assert np.array_equal(first.jet["event"], second.jet["event"])
    assert np.array_equal(first.label, second.label) and np.bincount(jets.label).tolist() == [20, 2]
    assert first.jet["pt"].min() > 1200 and (first.jet["pt"] >= second.jet["pt"]).all()
    px, py, pz, energy = (np.add.reduceat(c, jets.offsets[:-1]) for c in jets.cartesian())
    total = [c[0::2] + c[1::2] for c in (energy, px, py, pz)]
    mass = np.sqrt(total[0] ** 2 - total[1] ** 2 - total[2] ** 2 - total[3] ** 2)
    assert mass == pytest.approx(first.jet["dijet_mass"], rel=1e-4)


def test_dis_events_obey_the_kinematic_cuts(made):
    jets = made["h1_dis"]
    assert jets.jet["q2"].min() > 150
    assert jets.jet["inelasticity"].min() > 0.08 and jets.jet["inelasticity"].max() < 0.7
    lab_eta = jets.particles["deta"] + np.repeat(jets.jet["eta"], jets.counts)
    assert lab_eta.min() > -1.501 and lab_eta.max() < 2.751


def test_the_scattered_positron_is_not_in_the_jets(made):
    jets = made["h1_dis"]
    hard_positron = (jets.particles["pid"] == -11) & (jets.particles["pt"] > 8)
    assert not hard_positron.any()


def test_nearest_parton_within_the_radius():
    batch = record(
        [(21, -23, 0, 400.0, 0.0, 0.0), (2, -23, 0, 390.0, 80.0, 0.0), (-3, -23, 0, -800.0, -80.0, 0.0)]
    )
    phi = np.array([0.02, 0.18, np.pi + 0.1, 1.5])
    zero = np.zeros(4)
    jets = Clusters(
        np.zeros(4, int), np.arange(4), zero, zero, zero, phi, zero, np.zeros(5, int), np.zeros(0, int)
    )
    assert _nearest_parton(jets, batch, 0.5).tolist() == [21, 2, 3, 0]


# ---- physics -------------------------------------------------------------------------------------


def within(values, expected, relative):
    """The mean agrees within a relative tolerance plus five standard errors."""
    error = values.std() / np.sqrt(len(values))
    return abs(values.mean() - expected) < relative * expected + 5 * error


def test_top_and_qcd_jets_have_the_known_masses():
    jets = simulate("top_tagging", 120, **RUN)
    for label, mass, multiplicity in ((0, 87.3, 45.8), (1, 175.3, 59.5)):
        mine = jets[jets.label == label].jet
        assert within(mine["mass"], mass, 0.03) and within(mine["multiplicity"], multiplicity, 0.03)


def of_class(name, n_jets, profile="quick"):
    chosen = recipe("jetclass", profile=profile)
    samples = tuple(sample for sample in chosen.samples if sample.name == name)
    return simulate(replace(chosen, samples=samples), n_jets, **RUN)


@pytest.mark.parametrize(("name", "expected", "tolerance"), [("Wqq", 80.4, 1.2), ("Tbqq", 169.0, 2.0)])
def test_mass_scale_of_jetclass(name, expected, tolerance):
    """Tolerances are three statistical errors; towers that only fluctuate upwards give 82.9 and 174.1 GeV."""
    assert mass_peak(of_class(name, 1500).jet["mass"], expected) == pytest.approx(expected, abs=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "mass"), [("Wqq", 80.4), ("Zqq", 91.2), ("Tbqq", 169.0)])
def test_mass_peaks_of_the_quick_profile_are_those_of_production(name, mass):
    """Production follows the published chain: default decays, multiple interactions, the published card."""
    peak, error = {}, {}
    for profile, n_jets in (("quick", 4000), ("production", 2000)):
        groomed = observables(of_class(name, n_jets, profile), ["soft_drop_mass"])["soft_drop_mass"]
        rng = np.random.default_rng(1)
        again = [mass_peak(rng.choice(groomed, len(groomed)), mass) for _ in range(30)]
        peak[profile], error[profile] = mass_peak(groomed, mass), np.std(again)
    difference = peak["quick"] - peak["production"]
    assert abs(difference) < 0.01 * mass + 2 * np.hypot(*error.values()), (peak, error)


@pytest.mark.slow
@pytest.mark.parametrize(("profile", "n_jets"), [("quick", 6000), ("production", 2000)])
def test_jetclass_has_the_published_means(profile, n_jets):
    jets = simulate(recipe("jetclass", profile=profile), n_jets, **RUN)
    for name, mean, _ in recipe("jetclass").published:
        assert within(jets.jet[name], mean, 0.05), name
    spectrum = [np.log(jets.particles[name]) for name in ("pt", "energy")]  # constants of the published code
    assert [values.mean() for values in spectrum] == pytest.approx([1.900, 2.245], abs=0.06)
    assert [values.std() for values in spectrum] == pytest.approx([1.221, 1.233], abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "moments"),
    [
        ("jetnet150", {"pt": (1045.9, 0.03), "mass": (94.0, 0.06), "multiplicity": (49.4, 0.05)}),
        ("jetnet30", {"multiplicity": (29.0, 0.02)}),
        ("h1_dis", {"pt": (19.2, 0.1), "mass": (6.0, 0.06), "multiplicity": (11.7, 0.05)}),
        ("omnifold_zjets", {"pt": (225.8, 0.06), "mass": (18.4, 0.15), "multiplicity": (18.9, 0.06)}),
    ],
)
def test_published_moments(name, moments):
    jets = simulate(name, 3000, **RUN)
    for column, (mean, tolerance) in moments.items():
        assert within(jets.jet[column], mean, tolerance), (name, column, jets.jet[column].mean())


@pytest.mark.slow
def test_quarks_and_gluons_differ_as_they_should():
    jets = simulate("quark_gluon", 2000, **RUN)
    expected = ((0, 52.1, 51.8), (1, 35.1, 31.4))
    for label, mass, multiplicity in expected:
        mine = jets[jets.label == label].jet
        assert within(mine["mass"], mass, 0.03) and within(mine["multiplicity"], multiplicity, 0.03)


@pytest.mark.slow
def test_dijet_resonance_and_background():
    jets = simulate("lhco", 2200, **RUN)
    signal, background = (jets[jets.label == label] for label in (1, 0))
    window = (signal.jet["dijet_mass"] > 3300) & (signal.jet["dijet_mass"] < 3700)
    assert window.mean() == pytest.approx(0.79, abs=0.1)
    heavy = np.maximum(signal.jet["mass"][0::2], signal.jet["mass"][1::2])
    light = np.minimum(signal.jet["mass"][0::2], signal.jet["mass"][1::2])
    assert np.median(heavy) == pytest.approx(495, abs=20) and np.median(light) == pytest.approx(108, abs=10)
    assert within(background.jet["mass"], 200, 0.04) and within(background.jet["multiplicity"], 54.3, 0.04)


@pytest.mark.slow
def test_response_models_differ_in_composition_not_in_mean():
    fast, full = (simulate(name, 1500, **RUN) for name in ("cms_open_data_fast", "cms_open_data"))
    photons = [(j.particles["pid"] == 22).mean() for j in (fast, full)]
    assert photons[1] > photons[0] * 1.05
    means = [np.average(j.jet["mass"] / j.jet["pt"]) for j in (fast, full)]
    assert means[1] == pytest.approx(means[0], rel=0.06)
