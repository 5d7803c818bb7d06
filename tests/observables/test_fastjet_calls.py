"""Our batched trees against FastJet: one call for all jets, and a loop over single jets."""

import subprocess
import sys

import numpy as np
import pytest
from omnilearn_lab import observables as obs
from omnilearn_lab.errors import MissingDependencyError
from omnilearn_lab.observables import fastjet_calls
from omnilearn_lab.observables.constituents import Constituents

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
    tau = fastjet_calls.fastjet_njettiness(particles, [1, 2, 3, 4], axes="kt", jet_radius=R, beta=2.0)
    ours = obs.n_subjettiness(toy_jets, jet_radius=R, beta=2.0)
    np.testing.assert_allclose(ours, tau, rtol=RELATIVE, atol=1e-10)
    settings = obs.SoftDrop(z_cut=0.15, beta=1.0, r0=R)
    groomed = fastjet_calls.fastjet_soft_drop(particles, settings)
    config = obs.ObservableConfig(soft_drop=settings)
    found = obs.observables(toy_jets, ["groomed_pt", "z_g", "groomed_radius"], config=config)
    for name, values in zip(found, (groomed.pt, groomed.z_g, groomed.radius), strict=True):
        np.testing.assert_allclose(found[name], values, rtol=RELATIVE, atol=1e-10, err_msg=name)


def test_minimised_axes_never_lose_to_plain_ones(toy_jets):
    plain = obs.n_subjettiness(toy_jets, [1, 2], jet_radius=R)
    one_pass = obs.n_subjettiness(toy_jets, [1, 2], jet_radius=R, axes="one_pass_kt")
    assert (one_pass <= plain + 1e-9).all()
    assert (one_pass < 0.99 * plain)[:, 0].any()


def test_the_banner_stays_silent():
    script = (
        "from omnilearn_lab.jets import Jets; from omnilearn_lab.observables import tau_21;"
        "tau_21(Jets.from_four_momenta([[3, 0, 0, 3], [3, 1, 0, 3.2], [1, 0, 0, 1]], [0, 3]), axes='wta_kt')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_plain_axes_need_no_fastjet(toy_jets, monkeypatch):
    fastjet_calls._fastjet.cache_clear()
    monkeypatch.setitem(sys.modules, "fastjet", None)
    assert np.isfinite(obs.tau_21(toy_jets)).all()
    with pytest.raises(MissingDependencyError, match="install 'fastjet"):
        obs.tau_21(toy_jets, axes="wta_kt")
