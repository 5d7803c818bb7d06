from dataclasses import replace

import numpy as np
import pytest
import torch
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models import PETv2, PETv2Config
from omnilearn_lab.tasks.common.classification import ClassifierData
from omnilearn_lab.tasks.tagging.ablation import AblationSettings, ablate, take_body, train_network
from omnilearn_lab.training import TrainConfig
from tests.conftest import random_jets

QUICK = TrainConfig(epochs=1, batch_size=16, learning_rate=1e-3, validations_per_epoch=1)
MINI = {"width": 16, "n_layers": 1, "n_head_layers": 1, "n_heads": 2, "n_neighbors": 3}
SETTINGS = AblationSettings(
    "tiny",
    {**MINI, "n_species": 9, "n_extra": 4},
    {"complete": {}, "without species": {"n_species": 0}, "one token": {"n_tokens": 1}},
    (1, 2),
    {"width": 16, "n_layers": 1, "n_heads": 2},
    QUICK,
)


def make_data(inputs="pet_v2", **options):
    sizes = {"train": 48, "val": 16, "test": 120}
    jets = {s: random_jets(n, seed=i, mean=8.0, n_classes=3) for i, (s, n) in enumerate(sizes.items())}
    return ClassifierData.from_jets(jets, inputs=inputs, **options)


@pytest.fixture(scope="module")
def data():
    return make_data(use_extra=True)


def test_configurations_differ_in_the_named_ingredient_alone():
    configs = SETTINGS.configs(3)
    assert SETTINGS.complete == "complete"
    assert replace(configs["complete"], n_species=0) == configs["without species"]
    assert replace(configs["complete"], n_tokens=1) == configs["one token"]
    assert {c.n_classes for c in configs.values()} == {3}


def test_one_variant_must_be_complete():
    with pytest.raises(ConfigError, match="must change nothing"):
        AblationSettings("tiny", MINI, {"one token": {"n_tokens": 1}}, (1,))


def test_every_variant_and_pet_are_trained_with_every_seed(data):
    found = ablate(data, SETTINGS, pet_data=make_data("pet"), workers=1, progress=False)
    assert list(found) == ["complete", "without species", "one token", "PET"]
    for runs in found.values():
        assert len(runs) == 2
        assert not np.array_equal(runs[0].probabilities, runs[1].probabilities)
        assert all(run.probabilities.shape == (120, 3) and 0 <= run.metrics.auc <= 1 for run in runs)


def test_ingredient_left_out_is_not_looked_at(data):
    """Without species the probabilities stay the same when the species change; with them they do not."""
    other = replace(data, test=data.test.replace(pid=(data.test.pid + 3) % 9))
    for name, config in SETTINGS.configs(3).items():
        first, second = (train_network(d, config, QUICK).probabilities for d in (data, other))
        assert np.allclose(first, second) == (name == "without species")


def test_body_is_taken_and_used(data):
    config = SETTINGS.configs(3)["complete"]
    torch.manual_seed(7)
    pretrained = PETv2(replace(config, mode="pretrain", n_classes=11)).body.state_dict()
    model = PETv2(config)
    assert take_body(model, pretrained) == []
    assert all(torch.equal(v, pretrained[n]) for n, v in model.body.state_dict().items())
    scratch, tuned = (train_network(data, config, QUICK, body).probabilities for body in (None, pretrained))
    assert not np.allclose(scratch, tuned)


def test_body_of_other_sizes_is_refused():
    body = PETv2(PETv2Config(width=24, n_layers=1, n_heads=2)).body.state_dict()
    kept = {name: value for name, value in body.items() if value.ndim > 1}
    with pytest.raises(ConfigError, match="same sizes"):
        take_body(
            PETv2(PETv2Config(width=32, n_layers=1, n_heads=2)), {n: v[..., :5] for n, v in kept.items()}
        )
