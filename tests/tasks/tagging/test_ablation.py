from dataclasses import replace

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.tasks.common import ClassifierData, make_model, train_classifier
from omnilearn_lab.tasks.tagging.ablation import AblationSettings, ablate
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
    settings = SETTINGS.classifiers(3)
    configs = {name: make_model(chosen).config for name, chosen in settings.items()}
    assert SETTINGS.complete == "complete"
    assert replace(configs["complete"], n_species=0) == configs["without species"]
    assert replace(configs["complete"], n_tokens=1) == configs["one token"]
    assert {c.n_classes for c in configs.values()} == {3} and configs["PET"].width == 16
    assert set(SETTINGS.ingredients) == {"without species", "one token", "PET"}


def test_one_variant_must_be_complete():
    with pytest.raises(ConfigError, match="must change nothing"):
        AblationSettings("tiny", MINI, {"one token": {"n_tokens": 1}}, (1,))


def test_every_variant_and_pet_are_trained_with_every_seed(data):
    comparison = ablate(data, SETTINGS, pet_data=make_data("pet"), workers=1, progress=False)
    assert list(comparison.results) == ["complete", "without species", "one token", "PET"]
    for runs in comparison.results.values():
        assert len(runs) == 2
        assert not np.array_equal(runs[0].probabilities, runs[1].probabilities)
        assert all(run.probabilities.shape == (120, 3) and 0 <= run.metrics.auc <= 1 for run in runs)
    lost = comparison.gains(SETTINGS.ingredients, ["auc"]).loc[("PET", "auc"), "difference"]
    here, there = (comparison.spread(name, "auc").mean for name in ("complete", "PET"))
    assert lost == pytest.approx(here - there)


def test_ingredient_left_out_is_not_looked_at(data):
    """Without species the probabilities stay the same when the species change; with them they do not."""
    other = replace(data, test=data.test.replace(pid=(data.test.pid + 3) % 9))
    for name in ("complete", "without species"):
        settings = SETTINGS.classifiers(3)[name]
        first, second = (train_classifier(d, settings).probabilities for d in (data, other))
        assert np.allclose(first, second) == (name == "without species")
