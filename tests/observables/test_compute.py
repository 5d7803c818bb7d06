"""Observables by name."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omnilearn_lab import observables as obs
from omnilearn_lab.errors import ConfigError, MissingDependencyError
from omnilearn_lab.jets import Jets
from omnilearn_lab.jets.columns import cluster_sequence
from omnilearn_lab.observables import clustering, compute
from omnilearn_lab.observables.clustering import Constituents, cluster, pt_y_phi
from omnilearn_lab.observables.compute import soft_drop, subjettiness
from omnilearn_lab.observables.config import FASTJET_AXES, SoftDrop

from tests.observables.helpers import value

R = 0.8
SAFE = ("width", "tau_1", "tau_2", "thrust", "les_houches", "mass")  # infrared and collinear safe
EVERY = tuple(obs.OBSERVABLES)
SINGLE = 2e-6
"""Precision of angles and momentum fractions that are kept as float32."""


@st.composite
def jet_rows(draw):
    """A jet in general position: of equally close pairs any clustering takes the first."""
    n, rng = draw(st.integers(1, 12)), np.random.default_rng(draw(st.integers(0, 10_000)))
    columns = [rng.uniform(1, 100, n), *rng.uniform(-0.5, 0.5, (2, n))]
    return [tuple(row) for row in np.stack(columns, axis=-1)]


def momenta_of(rows):
    pt, y, phi = np.array(rows, dtype=float).T
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(y), pt * np.cosh(y)], axis=-1)


def values_of(rows, names=SAFE):
    jets = Jets.from_four_momenta(momenta_of(rows), [0, len(rows)])
    return np.array([v[0] for v in obs.observables(jets, names, jet_radius=R).values()])


def assert_close(rows, other):
    """Equal up to single precision, which enters the last two under a square root."""
    found, expected, energy = values_of(rows), values_of(other), momenta_of(rows)[:, 3].sum()
    np.testing.assert_allclose(found[:4], expected[:4], atol=SINGLE)
    np.testing.assert_allclose(found[4], expected[4], atol=np.sqrt(SINGLE))
    np.testing.assert_allclose(found[5], expected[5], atol=np.sqrt(SINGLE) * energy)


@settings(deadline=None, max_examples=50, derandomize=True)
@given(jet_rows(), st.floats(-3, 3), st.floats(-1.5, 1.5))
def test_turning_and_boosting_along_the_beam_changes_nothing(rows, angle, boost):
    moved = [(pt, y + boost, phi + angle) for pt, y, phi in rows]
    assert_close(moved, rows)


@settings(deadline=None, max_examples=50, derandomize=True)
@given(jet_rows(), st.integers(0, 1000))
def test_the_order_of_particles_does_not_matter(rows, seed):
    mixed = np.random.default_rng(seed).permutation(rows)
    np.testing.assert_allclose(values_of(mixed, EVERY), values_of(rows, EVERY), rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=50, derandomize=True)
@given(jet_rows(), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_a_soft_particle_changes_nothing(rows, y, phi):
    assert_close([*rows, (1e-7, y, phi)], rows)


@settings(deadline=None, max_examples=50, derandomize=True)
@given(jet_rows(), st.floats(0.1, 0.9), st.integers(0, 11))
def test_a_collinear_split_changes_nothing(rows, z, which):
    pt, y, phi = rows[which % len(rows)]
    split = [row for i, row in enumerate(rows) if i != which % len(rows)]
    split += [(z * pt, y, phi), ((1 - z) * pt, y, phi)]
    assert_close(split, rows)


def test_grooming_is_safe_too(toy_jets, build):
    """A very soft particle at wide angle is removed again."""
    rows = [[(60, 0, 0), (30, 0.2, 0.1), (10, -0.3, 0.1)], [(80, 1, 2), (20, 1.2, 2)]]
    with_soft = [[*row, (1e-6, row[0][1] + 0.7, row[0][2])] for row in rows]
    names = ["soft_drop_mass", "z_g", "groomed_radius", "ln_rho"]
    before, after = (obs.observables(build(r), names) for r in (rows, with_soft))
    for name in names:
        np.testing.assert_allclose(after[name], before[name], rtol=1e-4)


def test_multiplicity_and_dispersion_are_not_safe(build):
    one, two = build([[(100, 0, 0)]]), build([[(50, 0, 0), (50, 0, 0)]])
    assert value(one, "multiplicity") != value(two, "multiplicity")
    values = [obs.observables(j, ["pt_dispersion"])["pt_dispersion"][0] for j in (one, two)]
    np.testing.assert_allclose(values, [1, np.sqrt(0.5)], rtol=1e-6)


def test_jets_across_the_seam_of_azimuth(build):
    rows = [(60, 0, 0), (30, 0.2, 0.1), (10, -0.3, 0.1)]
    at_seam = build([[(pt, y, phi + np.pi) for pt, y, phi in rows]])
    for name, expected in obs.observables(build([rows]), EVERY, jet_radius=R).items():
        moved = obs.observables(at_seam, [name], jet_radius=R)[name]
        np.testing.assert_allclose(moved, expected, rtol=1e-5, atol=1e-6, err_msg=name)


def test_slices_join_seamlessly(toy_jets, monkeypatch):
    whole = obs.observables(toy_jets, EVERY, jet_radius=R)
    monkeypatch.setattr(clustering.slices, "__defaults__", (300,))
    assert len(list(clustering.slices(toy_jets))) > 5
    for name, values in obs.observables(toy_jets, EVERY, jet_radius=R).items():
        np.testing.assert_allclose(values, whole[name], rtol=1e-9, atol=1e-9, err_msg=name)


def test_every_jet_is_handled_once():
    counts = np.array([3, 1, 2, 3, 1, 7])
    jets = Jets.from_four_momenta(np.tile([1.0, 0, 0, 1], (17, 1)), np.cumsum([0, *counts]))
    edges = list(clustering.slices(jets, 4))
    assert edges[0].start == 0
    assert edges[-1].stop == 6
    assert all(a.stop == b.start for a, b in zip(edges[:-1], edges[1:], strict=True))


def test_names_give_the_order_and_agree_with_single_ones(toy_jets):
    both = obs.observables(toy_jets, ["z_g", "mass"])
    assert list(both) == ["z_g", "mass"]
    np.testing.assert_array_equal(both["mass"], value(toy_jets, "mass"))
    np.testing.assert_array_equal(both["z_g"], value(toy_jets, "z_g"))


def test_tau_falls_with_the_number_of_axes(toy_jets):
    tau = np.stack([value(toy_jets, f"tau_{n}", jet_radius=R) for n in (1, 2, 3, 4)], axis=1)
    assert (np.diff(tau, axis=1) <= 1e-12).mean() > 0.99  # plain axes may lose now and then
    assert not tau[toy_jets.counts == 3, 2:].any()
    np.testing.assert_allclose(tau[:, 0], value(toy_jets, "width", jet_radius=R), atol=1e-9)


@pytest.mark.parametrize("name", EVERY)
def test_every_name_is_finite_or_minus_infinity(toy_jets, name):
    values = obs.observables(toy_jets, [name], jet_radius=R)[name]
    assert values.dtype == np.float64
    assert values.shape == (len(toy_jets),)
    assert (np.isfinite(values) | ((name == "ln_rho") & (values == -np.inf))).all()


@pytest.mark.parametrize("axes", FASTJET_AXES)
def test_offered_axes_work(toy_jets, axes):
    values = value(toy_jets[:20], "tau_21", axes=axes)
    assert np.isfinite(values).all()
    assert not values[toy_jets[:20].counts <= 2].any()


BY_HAND_R = 0.4
ROWS = [
    [(100, 0, 0)],
    [(95, 0, 0), (5, 0.2, 0)],
    [(80, 0, 0), (20, 0.2, 0)],
    [(90, 0, 0), (10, 0.2, 0)],
    [(60, 0, 0), (30, 0.2, 0.1), (10, -0.3, 0.1)],
]
DIGITS = 1e-4  # the reference values are printed with four to six digits


@pytest.fixture(scope="module")
def jets(build):
    return build(ROWS)


def test_mass(jets):
    np.testing.assert_allclose(value(jets, "mass"), [0, 4.3662, 8.0133, 6.0100, 15.0732], atol=DIGITS)


def test_multiplicity(jets):
    assert value(jets, "multiplicity").tolist() == [1, 2, 2, 2, 3]


def test_width(jets):
    expected = [0, 0.047628, 0.160192, 0.090192, 0.293899]
    np.testing.assert_allclose(value(jets, "width", jet_radius=BY_HAND_R), expected, atol=1e-6)


def test_tau_2_with_kt_axes(jets):
    tau_2 = obs.observables(jets, ["tau_2"], jet_radius=BY_HAND_R)["tau_2"]
    np.testing.assert_allclose(tau_2, [0, 0, 0, 0, 0.135986], atol=1e-6)


def test_tau_21_divides_by_the_width(jets):
    expected = [0, 0, 0, 0, 0.135986 / 0.293899]
    np.testing.assert_allclose(value(jets, "tau_21"), expected, atol=1e-5)


def test_one_pass_axes_are_another_observable(jets):
    tau_1 = value(jets, "tau_1", jet_radius=BY_HAND_R, axes="one_pass_kt")
    np.testing.assert_allclose(tau_1, [0, 0.025012, 0.100043, 0.050023, 0.246816], atol=1e-6)


def test_z_g_is_zero_when_nothing_passes_and_at_the_cut(jets):
    np.testing.assert_allclose(value(jets, "z_g"), [0, 0, 0.2, 0, 0.10010], atol=1e-5)


def test_groomed_mass_and_pt(jets):
    values = obs.observables(jets, ["soft_drop_mass", "groomed_pt"])
    np.testing.assert_allclose(values["soft_drop_mass"], [0, 0, 8.01334, 0, 15.07323], atol=1e-5)
    np.testing.assert_allclose(values["groomed_pt"][:4], [100, 95, 100, 90], rtol=1e-6)


def test_ln_rho_has_no_radius_and_uses_the_ungroomed_pt(jets):
    expected = 2 * np.log([8.01334 / 100.0, 15.07323 / 99.880028])
    np.testing.assert_allclose(value(jets, "ln_rho")[[2, 4]], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("choice", "expected"), [("exclude", -np.inf), ("published", 0.0), ("omnifold", np.log(1e-100))]
)
def test_ln_rho_without_groomed_mass(jets, choice, expected):
    assert value(jets, "ln_rho", ungroomed=choice)[[0, 1, 3]].tolist() == [expected] * 3


def test_three_particles_by_arithmetic(build):
    """Two close particles recoil against one: every observable can be written down."""
    (values,) = zip(*obs.observables(build([[(50, 0, 0.3), (30, 0, 0.0), (20, 0, -0.1)]]), obs.SIX,
                                     jet_radius=BY_HAND_R).values(), strict=True)  # fmt: skip
    px, py = 50 * np.cos(0.3) + 30 + 20 * np.cos(0.1), 50 * np.sin(0.3) - 20 * np.sin(0.1)
    phi = np.arctan2(py, px)
    w = (50 * (0.3 - phi) + 30 * phi + 20 * (0.1 + phi)) / (BY_HAND_R * 100)
    soft_px, soft_py = 30 + 20 * np.cos(0.1), -20 * np.sin(0.1)
    pair_pt, pair_phi = np.hypot(soft_px, soft_py), np.arctan2(soft_py, soft_px)
    tau_2 = (30 * abs(pair_phi) + 20 * abs(-0.1 - pair_phi)) / (BY_HAND_R * 100)
    pt_squared = px**2 + py**2
    m_squared = 100**2 - pt_squared
    z_g = pair_pt / (pair_pt + 50)
    expected = [np.sqrt(m_squared), 3, w, np.log(m_squared / pt_squared), tau_2 / w, z_g]
    np.testing.assert_allclose(values, expected, rtol=3e-6)


def test_a_massive_particle_alone_keeps_its_mass():
    jets = Jets.from_four_momenta([[3.0, 0.0, 0.0, 5.0]], [0, 1])
    assert value(jets, "mass").tolist() == [4.0]
    assert value(jets, "width", jet_radius=BY_HAND_R).tolist() == [0.0]
    np.testing.assert_allclose(value(jets, "ln_rho"), 2 * np.log(4 / 3))


def test_massless_particles_alone_are_massless_everywhere(build):
    rng = np.random.default_rng(0)
    rows = [[(rng.uniform(0.5, 900), rng.uniform(-4, 4), rng.uniform(-3, 3))] for _ in range(300)]
    assert not value(build(rows), "mass").any()


def test_soft_drop_settings(build):
    jets = build([[(95, 0, 0), (5, 0.2, 0)]])
    np.testing.assert_allclose(value(jets, "z_g", soft_drop=obs.SoftDrop(z_cut=0.04)), 0.05, rtol=1e-6)
    np.testing.assert_allclose(value(jets, "z_g", soft_drop=obs.SoftDrop(beta=1.0)), 0.05, rtol=1e-6)
    assert value(jets, "z_g", soft_drop=obs.SoftDrop(beta=1.0, r0=0.1)).tolist() == [0.0]


def test_no_jets():
    empty = Jets.build({n: [] for n in ("deta", "dphi", "pt", "energy")}, [0],
                       {n: [] for n in ("pt", "eta", "phi", "mass")})  # fmt: skip
    assert all(values.shape == (0,) for values in obs.observables(empty, jet_radius=BY_HAND_R).values())


def test_the_radius_must_be_known(jets, build):
    with pytest.raises(ConfigError, match="width is measured in units of the jet radius"):
        value(jets, "width")
    with_radius = build(ROWS, provenance={"jet_radius": BY_HAND_R})
    np.testing.assert_array_equal(value(with_radius, "width"), value(jets, "width", jet_radius=BY_HAND_R))


def test_unknown_choices_name_the_nearest(jets):
    with pytest.raises(ConfigError, match="did you mean 'multiplicity'"):
        obs.observables(jets, ["multiplcity"])
    with pytest.raises(ConfigError, match="did you mean 'wta_kt'"):
        value(jets, "tau_21", axes="wta_k")
    with pytest.raises(ConfigError, match="did you mean 'published'"):
        value(jets, "ln_rho", ungroomed="publishd")
    with pytest.raises(ConfigError, match="greater than 0"):
        value(jets, "width", jet_radius=-1.0)


ROW = np.array([(60, 0, 0), (30, 0.2, 0.1), (10, -0.3, 0.1), (1, 0.9, 0)], dtype=float)


@pytest.fixture(scope="module")
def particles():
    """One jet of four massless particles; the last is soft and far away."""
    pt, y, phi = ROW.T
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(y), pt * np.cosh(y)], axis=-1)[:, None]


def test_soft_drop_follows_the_harder_branch(particles):
    """First the soft particle fails, then 10 GeV against the rest passes with 0.1001."""
    tree = cluster(particles, pt_y_phi(particles))
    groomed = soft_drop(tree, SoftDrop())
    core = particles[:2, 0].sum(axis=0)
    core_pt, core_y, core_phi = pt_y_phi(core)
    kept = particles[:3, 0].sum(axis=0)
    np.testing.assert_allclose(groomed.z_g, 10 / (10 + core_pt))
    np.testing.assert_allclose(groomed.radius, np.hypot(core_y + 0.3, core_phi - 0.1))
    np.testing.assert_allclose(groomed.pt, np.hypot(*kept[:2]))
    np.testing.assert_allclose(groomed.mass, np.sqrt(kept[3] ** 2 - (kept[:3] ** 2).sum()))


def test_a_harder_cut_goes_deeper_and_an_impossible_one_to_the_end(particles):
    tree = cluster(particles, pt_y_phi(particles))
    np.testing.assert_allclose(soft_drop(tree, SoftDrop(z_cut=0.2)).z_g, 1 / 3)
    last = soft_drop(tree, SoftDrop(z_cut=0.4))
    assert [float(values[0]) for values in last] == [0.0, 60.0, 0.0, 0.0]


def test_no_cut_keeps_the_jet(particles):
    tree = cluster(particles, pt_y_phi(particles))
    groomed = soft_drop(tree, SoftDrop(z_cut=0.0))
    np.testing.assert_allclose(groomed.pt, tree.coordinates[-1, :, 0])


@pytest.fixture(scope="module")
def one_jet(build):
    jets = build([ROW.tolist()])
    return Constituents(jets, slice(0, 1))


def test_subjettiness_by_hand(one_jet, particles):
    """Three axes: kT joins the soft particle and its neighbour first."""
    first, second, third, soft = particles[:, 0]
    axes = pt_y_phi(np.stack([first, second + soft, third]))
    distance = np.hypot(ROW[:, 1, None] - axes[:, 1], ROW[:, 2, None] - axes[:, 2])
    expected = (ROW[:, 0] * distance.min(axis=1) ** 2).sum() / (0.5**2 * ROW[:, 0].sum())
    found = subjettiness(one_jet, [3], axes="kt", jet_radius=0.5, beta=2.0)
    np.testing.assert_allclose(found, [[expected]], rtol=1e-5)
    assert expected > 0


def test_as_many_axes_as_particles_leave_nothing(one_jet):
    assert subjettiness(one_jet, [4, 5], axes="kt", jet_radius=0.5).tolist() == [[0.0, 0.0]]


RELATIVE = 1e-6
RADIUS = 0.8


def one_by_one(jets, names):
    """The observables from FastJet's own objects, jet after jet."""
    import fastjet

    ca = fastjet.JetDefinition(fastjet.cambridge_algorithm, 999.0)
    kt = fastjet.JetDefinition(fastjet.kt_algorithm, 999.0)
    p = np.stack(jets.cartesian(), axis=-1)
    rows = []
    for start, stop in zip(jets.offsets[:-1], jets.offsets[1:], strict=True):
        particles = [fastjet.PseudoJet(*map(float, row)) for row in p[start:stop]]
        sequence = fastjet._swig.ClusterSequence(particles, ca)
        jet = sequence.inclusive_jets()[0]
        groomed, z_g = drop(jet, fastjet)
        scalar = sum(q.pt() for q in particles)
        width = sum(q.pt() * q.delta_R(jet) for q in particles) / (RADIUS * scalar)
        kt_sequence = fastjet._swig.ClusterSequence(particles, kt)
        tau_2 = 0.0
        if len(particles) > 2:
            axes = kt_sequence.exclusive_jets(2)
            tau_2 = sum(q.pt() * min(q.delta_R(a) for a in axes) for q in particles) / (RADIUS * scalar)
        rows.append((jet.m(), len(particles), width, groomed.m(), groomed.pt(), jet.pt(), tau_2, z_g))
    return dict(zip(names, np.array(rows).T, strict=True))


def drop(jet, fastjet):
    """Soft drop with z_cut = 0.1 and beta = 0, by asking every branch for its parents."""
    first, second = fastjet.PseudoJet(), fastjet.PseudoJet()
    while jet.has_parents(first, second):
        z = min(first.pt(), second.pt()) / (first.pt() + second.pt())
        if z > 0.1:
            return jet, z
        jet = fastjet.PseudoJet(first if first.pt() > second.pt() else second)
    return jet, 0.0


def fastjet_soft_drop(particles, settings):
    """All jets in one call; z_g and R_g of jets that fail are 0 here, -1 in FastJet."""
    sequence = cluster_sequence(particles.momenta, particles.counts, "cambridge_algorithm", 999.0)
    groomed = sequence.exclusive_jets_softdrop_grooming(
        njets=1, beta=settings.beta, symmetry_cut=settings.z_cut, R0=settings.r0
    )
    names = ("msoftdrop", "ptsoftdrop", "symmetrysoftdrop", "deltaRsoftdrop")
    return compute.Groomed(*(np.maximum(np.asarray(groomed[name], dtype=np.float64), 0) for name in names))


def assert_agreement(jets):
    names = ("mass", "multiplicity", "width", "soft_drop_mass", "groomed_pt", "pt", "tau_2", "z_g")
    found = obs.observables(jets, [*names, "tau_21", "ln_rho"], jet_radius=RADIUS)
    loop = one_by_one(jets, names)
    several = jets.counts > 1
    for name in ("multiplicity", "width", "groomed_pt", "pt", "tau_2", "z_g"):
        np.testing.assert_allclose(found[name], loop[name], rtol=RELATIVE, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(found["mass"][several], loop["mass"][several], rtol=RELATIVE)
    passed = loop["z_g"] > 0
    np.testing.assert_allclose(found["soft_drop_mass"][passed], loop["soft_drop_mass"][passed], rtol=RELATIVE)
    ln_rho = 2 * np.log(loop["soft_drop_mass"][passed] / loop["pt"][passed])
    np.testing.assert_allclose(found["ln_rho"][passed], ln_rho, rtol=RELATIVE)
    tau_21 = np.divide(loop["tau_2"], loop["width"], out=np.zeros(len(jets)), where=several)
    np.testing.assert_allclose(found["tau_21"], tau_21, rtol=RELATIVE, atol=1e-12)
    assert 0.5 < passed.mean() < 1


def test_toy_jets_agree_with_a_loop_over_fastjet(toy_jets):
    assert_agreement(toy_jets)


def test_simulated_jets_agree_with_a_loop_over_fastjet(pythia_jets):
    assert len(pythia_jets) == 800
    assert_agreement(pythia_jets)


def test_soft_drop_of_all_jets_in_one_call_agrees_with_our_trees(toy_jets):
    particles = Constituents(toy_jets, slice(0, len(toy_jets)))
    settings = obs.SoftDrop(z_cut=0.15, beta=1.0, r0=RADIUS)
    groomed = fastjet_soft_drop(particles, settings)
    config = obs.ObservableConfig(soft_drop=settings)
    found = obs.observables(toy_jets, ["groomed_pt", "z_g", "groomed_radius"], config=config)
    for name, values in zip(found, (groomed.pt, groomed.z_g, groomed.radius), strict=True):
        np.testing.assert_allclose(found[name], values, rtol=RELATIVE, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("name", ["tau_1", "tau_2"])
def test_minimised_axes_never_lose_to_plain_ones(toy_jets, name):
    plain, one_pass = (value(toy_jets, name, jet_radius=RADIUS, axes=axes) for axes in ("kt", "one_pass_kt"))
    assert (one_pass <= plain + 1e-9).all()
    assert name != "tau_1" or (one_pass < 0.99 * plain).any()


def test_the_banner_stays_silent():
    script = (
        "from omnilearn_lab.jets import Jets; from omnilearn_lab.observables import *;"
        "jets = Jets.from_four_momenta([[3, 0, 0, 3], [3, 1, 0, 3.2], [1, 0, 0, 1]], [0, 3]);"
        "observables(jets, ['tau_21'], config=ObservableConfig(axes='wta_kt'))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_a_missing_fastjet_is_named(toy_jets, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastjet", None)
    with pytest.raises(MissingDependencyError, match="install 'fastjet"):
        value(toy_jets, "tau_21")


GRAPHS = (  # the five prime multigraphs with four vertices and four edges
    ((0, 1), (0, 2), (0, 2), (0, 3)),
    ((0, 1), (0, 2), (0, 2), (1, 3)),
    ((0, 1), (0, 1), (0, 2), (1, 3)),
    ((0, 1), (0, 2), (1, 2), (0, 3)),
    ((0, 1), (0, 2), (1, 3), (2, 3)),
)
EFP_ROW = [(60, 0, 0), (30, 0.2, 0.1), (10, -0.3, 0.1)]


def by_brute_force(z, eta, phi, graph):
    theta = np.hypot(eta[:, None] - eta, phi[:, None] - phi)
    total = 0.0
    for vertices in itertools.product(range(len(z)), repeat=4):
        total += np.prod(z[list(vertices)]) * np.prod([theta[vertices[a], vertices[b]] for a, b in graph])
    return total


@pytest.mark.energyflow
def test_the_prime_set_by_brute_force(build):
    pytest.importorskip("energyflow")
    jets = build([EFP_ROW])
    z = jets.particles["pt"].astype(float) / jets.jet["pt"][0]
    eta, phi = (jets.particles[name].astype(float) for name in ("deta", "dphi"))
    expected = [by_brute_force(z, eta, phi, graph) for graph in GRAPHS]
    found = obs.energy_flow_polynomials(jets)
    np.testing.assert_allclose(found, [expected], rtol=1e-6)


@pytest.mark.energyflow
def test_the_full_set(toy_jets):
    pytest.importorskip("energyflow")
    few = toy_jets[:10]
    values = obs.energy_flow_polynomials(few, "up_to_4")
    assert values.shape == (10, 36)
    fractions = few.particles["pt"] / np.repeat(few.jet["pt"], few.counts)
    np.testing.assert_allclose(values[:, 0], np.add.reduceat(fractions, few.offsets[:-1]), rtol=1e-5)
    assert not values[few.counts == 1, 1:].any()


@pytest.mark.energyflow
def test_no_jets_have_no_polynomials(toy_jets):
    pytest.importorskip("energyflow")
    assert obs.energy_flow_polynomials(toy_jets[:0]).shape == (0, 5)


def test_without_energyflow_only_this_fails(toy_jets, monkeypatch):
    compute._efp_set.cache_clear()
    monkeypatch.setitem(sys.modules, "energyflow", None)
    with pytest.raises(MissingDependencyError, match=r"wasserstein==1\.1\.0"):
        obs.energy_flow_polynomials(toy_jets)
    assert np.isfinite(value(toy_jets, "mass")).all()


def test_bad_requests(toy_jets):
    with pytest.raises(ConfigError, match="did you mean 'prime_4_4'"):
        obs.energy_flow_polynomials(toy_jets, "prime44")
