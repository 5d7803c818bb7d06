"""Energy-flow polynomials: by brute force, and without EnergyFlow."""

import itertools
import sys

import numpy as np
import pytest
from omnilearn_lab import observables as obs
from omnilearn_lab.errors import ConfigError, MissingDependencyError
from omnilearn_lab.observables import efp

from tests.observables.helpers import value

GRAPHS = (  # the five prime multigraphs with four vertices and four edges
    ((0, 1), (0, 2), (0, 2), (0, 3)),
    ((0, 1), (0, 2), (0, 2), (1, 3)),
    ((0, 1), (0, 1), (0, 2), (1, 3)),
    ((0, 1), (0, 2), (1, 2), (0, 3)),
    ((0, 1), (0, 2), (1, 3), (2, 3)),
)
ROW = [(60, 0, 0), (30, 0.2, 0.1), (10, -0.3, 0.1)]


def by_brute_force(z, eta, phi, graph):
    theta = np.hypot(eta[:, None] - eta, phi[:, None] - phi)
    total = 0.0
    for vertices in itertools.product(range(len(z)), repeat=4):
        total += np.prod(z[list(vertices)]) * np.prod([theta[vertices[a], vertices[b]] for a, b in graph])
    return total


@pytest.mark.energyflow
def test_the_prime_set_by_brute_force(build):
    pytest.importorskip("energyflow")
    jets = build([ROW])
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
    efp._efp_set.cache_clear()
    monkeypatch.setitem(sys.modules, "energyflow", None)
    with pytest.raises(MissingDependencyError, match=r"wasserstein==1\.1\.0"):
        obs.energy_flow_polynomials(toy_jets)
    assert np.isfinite(value(toy_jets, "mass")).all()


def test_bad_requests(toy_jets):
    with pytest.raises(ConfigError, match="did you mean 'prime_4_4'"):
        obs.energy_flow_polynomials(toy_jets, "prime44")
