"""The six observables on jets done by hand (physics fact sheet, sections 1.2 and 1.3)."""

import numpy as np
import pytest
from omnilearn_lab import observables as obs
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.jets import Jets

R = 0.4
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
    np.testing.assert_allclose(obs.mass(jets), [0, 4.3662, 8.0133, 6.0100, 15.0732], atol=DIGITS)


def test_multiplicity(jets):
    assert obs.multiplicity(jets).tolist() == [1, 2, 2, 2, 3]


def test_width(jets):
    expected = [0, 0.047628, 0.160192, 0.090192, 0.293899]
    np.testing.assert_allclose(obs.width(jets, jet_radius=R), expected, atol=1e-6)


def test_tau_2_with_kt_axes(jets):
    tau_2 = obs.observables(jets, ["tau_2"], jet_radius=R)["tau_2"]
    np.testing.assert_allclose(tau_2, [0, 0, 0, 0, 0.135986], atol=1e-6)


def test_tau_21_divides_by_the_width(jets):
    expected = [0, 0, 0, 0, 0.135986 / 0.293899]
    np.testing.assert_allclose(obs.tau_21(jets), expected, atol=1e-5)


def test_one_pass_axes_are_another_observable(jets):
    tau_1 = obs.n_subjettiness(jets, [1], jet_radius=R, axes="one_pass_kt")[:, 0]
    np.testing.assert_allclose(tau_1, [0, 0.025012, 0.100043, 0.050023, 0.246816], atol=1e-6)


def test_z_g_is_zero_when_nothing_passes_and_at_the_cut(jets):
    np.testing.assert_allclose(obs.z_g(jets), [0, 0, 0.2, 0, 0.10010], atol=1e-5)


def test_groomed_mass_and_pt(jets):
    values = obs.observables(jets, ["soft_drop_mass", "groomed_pt"])
    np.testing.assert_allclose(values["soft_drop_mass"], [0, 0, 8.01334, 0, 15.07323], atol=1e-5)
    np.testing.assert_allclose(values["groomed_pt"][:4], [100, 95, 100, 90], rtol=1e-6)


def test_ln_rho_has_no_radius_and_uses_the_ungroomed_pt(jets):
    expected = 2 * np.log([8.01334 / 100.0, 15.07323 / 99.880028])
    np.testing.assert_allclose(obs.ln_rho(jets)[[2, 4]], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("choice", "value"), [("exclude", -np.inf), ("published", 0.0), ("omnifold", np.log(1e-100))]
)
def test_ln_rho_without_groomed_mass(jets, choice, value):
    assert obs.ln_rho(jets, ungroomed=choice)[[0, 1, 3]].tolist() == [value] * 3


def test_three_particles_by_arithmetic(build):
    """Two close particles recoil against one: every observable can be written down."""
    (values,) = zip(*obs.observables(build([[(50, 0, 0.3), (30, 0, 0.0), (20, 0, -0.1)]]), obs.SIX,
                                     jet_radius=R).values(), strict=True)  # fmt: skip
    px, py = 50 * np.cos(0.3) + 30 + 20 * np.cos(0.1), 50 * np.sin(0.3) - 20 * np.sin(0.1)
    phi = np.arctan2(py, px)
    w = (50 * (0.3 - phi) + 30 * phi + 20 * (0.1 + phi)) / (R * 100)
    soft_px, soft_py = 30 + 20 * np.cos(0.1), -20 * np.sin(0.1)
    pair_pt, pair_phi = np.hypot(soft_px, soft_py), np.arctan2(soft_py, soft_px)
    tau_2 = (30 * abs(pair_phi) + 20 * abs(-0.1 - pair_phi)) / (R * 100)
    pt_squared = px**2 + py**2
    m_squared = 100**2 - pt_squared
    z_g = pair_pt / (pair_pt + 50)
    expected = [np.sqrt(m_squared), 3, w, np.log(m_squared / pt_squared), tau_2 / w, z_g]
    np.testing.assert_allclose(values, expected, rtol=3e-6)


def test_a_massive_particle_alone_keeps_its_mass():
    jets = Jets.from_four_momenta([[3.0, 0.0, 0.0, 5.0]], [0, 1])
    assert obs.mass(jets).tolist() == [4.0]
    assert obs.width(jets, jet_radius=R).tolist() == [0.0]
    np.testing.assert_allclose(obs.ln_rho(jets), 2 * np.log(4 / 3))


def test_massless_particles_alone_are_massless_everywhere(build):
    rng = np.random.default_rng(0)
    rows = [[(rng.uniform(0.5, 900), rng.uniform(-4, 4), rng.uniform(-3, 3))] for _ in range(300)]
    assert not obs.mass(build(rows)).any()


def test_soft_drop_settings(build):
    jets = build([[(95, 0, 0), (5, 0.2, 0)]])
    np.testing.assert_allclose(obs.z_g(jets, soft_drop=obs.SoftDrop(z_cut=0.04)), 0.05, rtol=1e-6)
    np.testing.assert_allclose(obs.z_g(jets, soft_drop=obs.SoftDrop(beta=1.0)), 0.05, rtol=1e-6)
    assert obs.z_g(jets, soft_drop=obs.SoftDrop(beta=1.0, r0=0.1)).tolist() == [0.0]


def test_no_jets():
    empty = Jets.build({n: [] for n in ("deta", "dphi", "pt", "energy")}, [0],
                       {n: [] for n in ("pt", "eta", "phi", "mass")})  # fmt: skip
    assert all(values.shape == (0,) for values in obs.observables(empty, jet_radius=R).values())
    assert obs.n_subjettiness(empty, jet_radius=R).shape == (0, 4)


def test_the_radius_must_be_known(jets, build):
    with pytest.raises(ConfigError, match="width is measured in units of the jet radius"):
        obs.width(jets)
    with_radius = build(ROWS, provenance={"jet_radius": R})
    np.testing.assert_array_equal(obs.width(with_radius), obs.width(jets, jet_radius=R))


def test_unknown_choices_name_the_nearest(jets):
    with pytest.raises(ConfigError, match="did you mean 'multiplicity'"):
        obs.observables(jets, ["multiplcity"])
    with pytest.raises(ConfigError, match="did you mean 'wta_kt'"):
        obs.tau_21(jets, axes="wta_k")
    with pytest.raises(ConfigError, match="did you mean 'published'"):
        obs.ln_rho(jets, ungroomed="publishd")
    with pytest.raises(ConfigError, match="positive radius"):
        obs.width(jets, jet_radius=-1.0)
    with pytest.raises(ConfigError, match="momentum fraction"):
        obs.SoftDrop(z_cut=0.7)
    with pytest.raises(ConfigError, match="at least 1"):
        obs.n_subjettiness(jets, [0], jet_radius=R)
