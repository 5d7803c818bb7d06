import numpy as np
import pytest
import torch
from omnilearn_lab.errors import JetsError
from omnilearn_lab.features import jets_from_features, pet_batch
from omnilearn_lab.models import PETv2, PETv2Config, SamplerConfig
from omnilearn_lab.tasks.generation import generate_like
from omnilearn_lab.tasks.generation.trajectory import generate_like_v2
from tests.conftest import random_jets
from tests.training.helpers import small_model


def test_features_and_back():
    jets = random_jets(20)
    again = jets_from_features(pet_batch(jets).features.numpy(), jets)
    np.testing.assert_allclose(np.sort(again.particles["pt"]), np.sort(jets.particles["pt"]), rtol=2e-3)
    np.testing.assert_allclose(again.jet["pt"], jets.jet["pt"], rtol=1e-3)
    np.testing.assert_allclose(again.jet["eta"], jets.jet["eta"], atol=1e-3)


def test_extreme_features_give_valid_jets():
    jets = random_jets(3)
    rows = np.full((jets.n_particles, 3), 50.0)
    rows[::2, 2] = -5000.0
    made = jets_from_features(rows, jets)
    assert (made.particles["pt"] > 0).all()
    limit = np.repeat(jets.jet["pt"], jets.counts).max() * (1 + 1e-5)
    assert made.particles["pt"].max() <= limit


def test_not_finite_is_an_error():
    jets = random_jets(3)
    with pytest.raises(JetsError, match="not.*finite"):
        jets_from_features(np.full((jets.n_particles, 3), np.nan), jets)


def test_same_seed_same_jets_whatever_the_batch():
    jets = random_jets(12, mean=6)
    model = small_model()
    first, second, other = (
        generate_like(model, jets, config=SamplerConfig(n_steps=3, seed=s, batch_size=b))
        for s, b in ((1, 12), (1, 5), (2, 12))
    )
    np.testing.assert_allclose(first.jet["mass"], second.jet["mass"], rtol=1e-3, atol=1e-2)
    assert not np.allclose(first.jet["mass"], other.jet["mass"], rtol=1e-3)
    assert first.counts.tolist() == jets.counts.tolist()
    assert first.label.tolist() == jets.label.tolist()
    assert first.provenance["source"] == "generated"


@pytest.mark.parametrize("n_condition", [0, 3])
def test_v2_generates_valid_jets(n_condition):
    jets = random_jets(6, mean=6)
    torch.manual_seed(0)
    sizes = {"mode": "generator", "n_classes": 2, "n_species": 0, "n_condition": n_condition}
    model = PETv2(PETv2Config.named("tiny", **sizes))
    made = generate_like_v2(model, jets, config=SamplerConfig(2, seed=3))
    assert made.counts.tolist() == jets.counts.tolist()
    assert (made.particles["energy"] >= made.particles["pt"] * (1 - 1e-6)).all()
    again = generate_like_v2(model, jets, config=SamplerConfig(2, seed=3))
    np.testing.assert_array_equal(made.jet["pt"], again.jet["pt"])
