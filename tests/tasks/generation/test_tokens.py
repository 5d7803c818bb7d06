"""Jets as rows of tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from omnilearn_lab.features import pet_v2_batch
from omnilearn_lab.models.baselines import TokenTransformer, TokenTransformerConfig
from omnilearn_lab.tasks.generation.generator import assemble
from omnilearn_lab.tasks.generation.tokens import (
    generate_tokens,
    jet_resolution,
    observable_distances,
    quantities,
    tokenized,
)
from tests.conftest import random_jets

JETS = random_jets(40, seed=3, mean=9)


def model_of(centers):
    torch.manual_seed(1)
    model = TokenTransformer(TokenTransformerConfig(n_codes=len(centers), width=16, n_layers=1, n_heads=2))
    model.codebook.centers.copy_(centers)
    return model


@pytest.fixture(scope="module")
def exact():
    """A network whose codebook has a point for every particle."""
    rows = pet_v2_batch(JETS).features
    return model_of(torch.cat([3 * rows[:, :2], rows[:, 2:3]], 1))


def test_assembled_jets_are_the_sums_of_their_particles():
    made = assemble(pet_v2_batch(JETS).features.double().numpy(), JETS)
    assert made.counts.tolist() == JETS.counts.tolist() and made.label.tolist() == JETS.label.tolist()
    phi = JETS.particles["dphi"] + np.repeat(JETS.jet["phi"], JETS.counts)
    columns = [JETS.particles["pt"] * wave(phi) for wave in (np.cos, np.sin)]
    px, py = (np.add.reduceat(column, JETS.offsets[:-1]) for column in columns)
    np.testing.assert_allclose(made.jet["pt"], np.hypot(px, py), rtol=1e-4)


def test_with_a_point_for_every_particle_nothing_is_lost_but_their_masses(exact):
    seen = tokenized(exact, JETS)
    assert seen.provenance == JETS.provenance
    for name, values in quantities(JETS, ("tau_21", "pt", "multiplicity"), jet_radius=0.8).items():
        got = quantities(seen, (name,), jet_radius=0.8)[name]
        np.testing.assert_allclose(got, values, rtol=2e-3, atol=2e-3)
    table = jet_resolution(JETS, seen, jet_radius=0.8)
    assert table.loc["p_T", "resolution"] < 1e-3 and abs(table.loc["p_T", "bias"]) < 1e-3


def test_resolution_by_hand():
    """All particles 10 % harder: the same shift for mass and pt, and no change of tau21."""
    rows = pet_v2_batch(JETS).features.double().numpy()
    rows[:, 2:] += np.log(1.1)
    table = jet_resolution(JETS, assemble(rows, JETS), jet_radius=0.8)
    assert table.loc["p_T", "bias"] == pytest.approx(0.1, rel=1e-3)
    assert table.loc["m", "bias"] == pytest.approx(0.1, rel=1e-2)
    assert abs(table.loc["τ₂₁", "bias"]) < 1e-3 and table["resolution"].max() < 2e-3


def test_written_jets_are_the_seed_alone_and_not_too_long(exact):
    first, again, other = (generate_tokens(exact, 20, length=6, seed=s) for s in (4, 4, 5))
    assert np.array_equal(first.particles["pt"], again.particles["pt"])
    assert not np.array_equal(first.particles["pt"][:20], other.particles["pt"][:20])
    assert len(first) == 20 and first.counts.min() >= 1 and first.counts.max() <= 6
    known = np.exp(exact.codebook.centers[:, 2].double().numpy())
    assert np.abs(first.particles["pt"][:, None] - known).min(1).max() < 1e-3 * known.max()


def test_distances_are_zero_from_itself_only():
    table = observable_distances(JETS, {"same": JETS, "half": JETS[:20]}, jet_radius=0.8)
    assert (table.loc["same"] < 1e-12).all() and (table.loc["half"] > 0).all()
    assert list(table.columns) == ["m [GeV]", "τ₂₁", "p_T [GeV]", "N"]
