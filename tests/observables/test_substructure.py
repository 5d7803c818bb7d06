"""Soft drop and N-subjettiness on trees written out by hand, and against FastJet."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from omnilearn_lab import observables as obs
from omnilearn_lab.errors import MissingDependencyError
from omnilearn_lab.observables import substructure
from omnilearn_lab.observables.clustering import cluster, exclusive_subjets, pt_y_phi
from omnilearn_lab.observables.config import SoftDrop
from omnilearn_lab.observables.constituents import Constituents
from omnilearn_lab.observables.substructure import soft_drop, subjettiness

from tests.observables.helpers import value

ROW = np.array([(60, 0, 0), (30, 0.2, 0.1), (10, -0.3, 0.1), (1, 0.9, 0)], dtype=float)


@pytest.fixture(scope="module")
def particles():
    """One jet of four massless particles; the last is soft and far away."""
    pt, y, phi = ROW.T
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(y), pt * np.cosh(y)], axis=-1)[:, None]


def test_soft_drop_follows_the_harder_branch(particles):
    """First the soft particle fails, then 10 GeV against the rest passes with 0.1001."""
    tree = cluster(particles, pt_y_phi(particles), power=0)
    groomed = soft_drop(tree, SoftDrop())
    core = particles[:2, 0].sum(axis=0)
    core_pt, core_y, core_phi = pt_y_phi(core)
    kept = particles[:3, 0].sum(axis=0)
    np.testing.assert_allclose(groomed.z_g, 10 / (10 + core_pt))
    np.testing.assert_allclose(groomed.radius, np.hypot(core_y + 0.3, core_phi - 0.1))
    np.testing.assert_allclose(groomed.pt, np.hypot(*kept[:2]))
    np.testing.assert_allclose(groomed.mass, np.sqrt(kept[3] ** 2 - (kept[:3] ** 2).sum()))


def test_a_harder_cut_goes_deeper_and_an_impossible_one_to_the_end(particles):
    tree = cluster(particles, pt_y_phi(particles), power=0)
    np.testing.assert_allclose(soft_drop(tree, SoftDrop(z_cut=0.2)).z_g, 1 / 3)
    last = soft_drop(tree, SoftDrop(z_cut=0.4))
    assert [float(values[0]) for values in last] == [0.0, 60.0, 0.0, 0.0]


def test_no_cut_keeps_the_jet(particles):
    tree = cluster(particles, pt_y_phi(particles), power=0)
    groomed = soft_drop(tree, SoftDrop(z_cut=0.0))
    np.testing.assert_allclose(groomed.pt, tree.coordinates[-1, :, 0])


def test_subjettiness_by_hand(particles):
    """Three axes: the pair of hardest close particles is one of them."""
    tree = cluster(particles, pt_y_phi(particles), power=1)
    axes = exclusive_subjets(tree, 3)
    distance = np.hypot(
        ROW[:, 1, None] - axes.coordinates[:, 0, 1], ROW[:, 2, None] - axes.coordinates[:, 0, 2]
    )
    expected = (ROW[:, 0] * distance.min(axis=1) ** 2).sum() / (0.5**2 * ROW[:, 0].sum())
    np.testing.assert_allclose(subjettiness(tree, axes, jet_radius=0.5, beta=2.0), expected)
    assert expected > 0


def test_as_many_axes_as_particles_leave_nothing(particles):
    tree = cluster(particles, pt_y_phi(particles), power=1)
    assert subjettiness(tree, exclusive_subjets(tree, 4), jet_radius=0.5).tolist() == [0.0]


RELATIVE = 1e-6
R = 0.8


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
        width = sum(q.pt() * q.delta_R(jet) for q in particles) / (R * scalar)
        kt_sequence = fastjet._swig.ClusterSequence(particles, kt)
        tau_2 = 0.0
        if len(particles) > 2:
            axes = kt_sequence.exclusive_jets(2)
            tau_2 = sum(q.pt() * min(q.delta_R(a) for a in axes) for q in particles) / (R * scalar)
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
    groomed = substructure._cluster(particles, "cambridge_algorithm").exclusive_jets_softdrop_grooming(
        njets=1, beta=settings.beta, symmetry_cut=settings.z_cut, R0=settings.r0
    )
    names = ("msoftdrop", "ptsoftdrop", "symmetrysoftdrop", "deltaRsoftdrop")
    return substructure.Groomed(
        *(np.maximum(np.asarray(groomed[name], dtype=np.float64), 0) for name in names)
    )


def assert_agreement(jets):
    names = ("mass", "multiplicity", "width", "soft_drop_mass", "groomed_pt", "pt", "tau_2", "z_g")
    found = obs.observables(jets, [*names, "tau_21", "ln_rho"], jet_radius=R)
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
    assert len(pythia_jets) == 2000
    assert_agreement(pythia_jets)


def test_batched_calls_agree_with_our_trees(toy_jets):
    particles = Constituents(toy_jets, slice(0, len(toy_jets)))
    tau = substructure.fastjet_njettiness(particles, [1, 2, 3, 4], axes="kt", jet_radius=R)
    ours = [value(toy_jets, f"tau_{n}", jet_radius=R) for n in (1, 2, 3, 4)]
    np.testing.assert_allclose(ours, tau.T, rtol=RELATIVE, atol=1e-10)
    settings = obs.SoftDrop(z_cut=0.15, beta=1.0, r0=R)
    groomed = fastjet_soft_drop(particles, settings)
    config = obs.ObservableConfig(soft_drop=settings)
    found = obs.observables(toy_jets, ["groomed_pt", "z_g", "groomed_radius"], config=config)
    for name, values in zip(found, (groomed.pt, groomed.z_g, groomed.radius), strict=True):
        np.testing.assert_allclose(found[name], values, rtol=RELATIVE, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("name", ["tau_1", "tau_2"])
def test_minimised_axes_never_lose_to_plain_ones(toy_jets, name):
    plain, one_pass = (value(toy_jets, name, jet_radius=R, axes=axes) for axes in ("kt", "one_pass_kt"))
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


def test_plain_axes_need_no_fastjet(toy_jets, monkeypatch):
    substructure._fastjet.cache_clear()
    monkeypatch.setitem(sys.modules, "fastjet", None)
    assert np.isfinite(value(toy_jets, "tau_21")).all()
    with pytest.raises(MissingDependencyError, match="install 'fastjet"):
        value(toy_jets, "tau_21", axes="wta_kt")
