"""Symmetries and safety of the observables, slicing, and order of names."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omnilearn_lab import observables as obs
from omnilearn_lab.jets import Jets
from omnilearn_lab.observables import constituents

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
    assert obs.multiplicity(one) != obs.multiplicity(two)
    values = [obs.observables(j, ["pt_dispersion"])["pt_dispersion"][0] for j in (one, two)]
    np.testing.assert_allclose(values, [1, np.sqrt(0.5)], rtol=1e-6)


def test_jets_across_the_seam_of_azimuth(build):
    rows = [(60, 0, 0), (30, 0.2, 0.1), (10, -0.3, 0.1)]
    at_seam = build([[(pt, y, phi + np.pi) for pt, y, phi in rows]])
    for name, value in obs.observables(build([rows]), EVERY, jet_radius=R).items():
        moved = obs.observables(at_seam, [name], jet_radius=R)[name]
        np.testing.assert_allclose(moved, value, rtol=1e-5, atol=1e-6, err_msg=name)


def test_slices_join_seamlessly(toy_jets, monkeypatch):
    whole = obs.observables(toy_jets, EVERY, jet_radius=R)
    monkeypatch.setattr(constituents.slices, "__defaults__", (300,))
    assert len(list(constituents.slices(toy_jets))) > 5
    for name, values in obs.observables(toy_jets, EVERY, jet_radius=R).items():
        np.testing.assert_allclose(values, whole[name], rtol=1e-9, atol=1e-9, err_msg=name)


def test_every_jet_is_handled_once():
    counts = np.array([3, 1, 2, 3, 1, 7])
    jets = Jets.from_four_momenta(np.tile([1.0, 0, 0, 1], (17, 1)), np.cumsum([0, *counts]))
    edges = list(constituents.slices(jets, 4))
    assert edges[0].start == 0
    assert edges[-1].stop == 6
    assert all(a.stop == b.start for a, b in zip(edges[:-1], edges[1:], strict=True))


def test_names_give_the_order_and_agree_with_the_single_functions(toy_jets):
    both = obs.observables(toy_jets, ["z_g", "mass"])
    assert list(both) == ["z_g", "mass"]
    np.testing.assert_array_equal(both["mass"], obs.mass(toy_jets))
    np.testing.assert_array_equal(both["z_g"], obs.z_g(toy_jets))


def test_tau_falls_with_the_number_of_axes(toy_jets):
    tau = obs.n_subjettiness(toy_jets, jet_radius=R)
    assert tau.shape == (len(toy_jets), 4)
    assert (np.diff(tau, axis=1) <= 1e-12).mean() > 0.99  # plain axes may lose now and then
    assert not tau[toy_jets.counts == 3, 2:].any()
    np.testing.assert_allclose(tau[:, 0], obs.width(toy_jets, jet_radius=R), atol=1e-9)


@pytest.mark.parametrize("name", EVERY)
def test_every_name_is_finite_or_minus_infinity(toy_jets, name):
    values = obs.observables(toy_jets, [name], jet_radius=R)[name]
    assert values.dtype == np.float64
    assert values.shape == (len(toy_jets),)
    assert (np.isfinite(values) | ((name == "ln_rho") & (values == -np.inf))).all()


@pytest.mark.parametrize("axes", obs.FASTJET_AXES)
def test_offered_axes_work(toy_jets, axes):
    values = obs.tau_21(toy_jets[:20], axes=axes)
    assert np.isfinite(values).all()
    assert not values[toy_jets[:20].counts <= 2].any()
