"""Combinations of objectives, pretrained and fine-tuned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.metrics.distances import Sampling
from omnilearn_lab.models import SamplerConfig, read_card
from omnilearn_lab.settings import from_mapping, to_mapping
from omnilearn_lab.tasks.common.classification import ClassifierData
from omnilearn_lab.tasks.generation import GeneratorData
from omnilearn_lab.tasks.generation.scores import ScoresConfig
from omnilearn_lab.tasks.pretraining import objectives as module
from omnilearn_lab.tasks.pretraining import pretraining
from omnilearn_lab.tasks.pretraining.objectives import (
    ObjectiveStudySettings,
    generation_floor,
    pretrain_objectives,
    tune_classifiers,
    tune_generators,
)
from omnilearn_lab.tasks.pretraining.pretraining import Objectives, PretrainConfig
from omnilearn_lab.training import TrainConfig
from tests.conftest import random_jets

QUICK = TrainConfig(epochs=1, batch_size=16, learning_rate=1e-3, validations_per_epoch=1)
MINI = {"width": 16, "n_layers": 1, "n_head_layers": 1, "n_heads": 2, "n_neighbors": 3}
PRETRAINING = PretrainConfig(
    n_train=48, n_validation=16, n_test=16, training=QUICK, network="pet_v2", changes=MINI
)
TOKENS = replace(
    PRETRAINING, network="tokens", changes={"n_codes": 20, "width": 16, "n_layers": 1, "n_heads": 2}
)
SETTINGS = ObjectiveStudySettings(
    {"class": Objectives(1, 0, 0), "masked": Objectives(0, 0, 1, n_codes=20)},
    PRETRAINING,
    {32: 1, 16: 2},
    QUICK,
    QUICK,
    tokens=TOKENS,
    seeds=(3,),
    sampler=SamplerConfig(1, "midpoint"),
    scores=ScoresConfig(Sampling(20, 1)),
)
HERE = {"workers": 1, "progress": False}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    def load(dataset, split, *, source, max_jets, seed):
        return random_jets(max_jets, seed=len(split), mean=6, n_classes=3)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretraining, "load", load)
        return pretrain_objectives(SETTINGS, tmp_path_factory.mktemp("pretrained"), **HERE)


@pytest.fixture(scope="module")
def data():
    splits = {s: random_jets(40, seed=i, mean=6) for i, s in enumerate(("train", "val", "test"))}
    return ClassifierData.from_jets(splits, inputs="pet_v2", use_pid=False)


def test_every_combination_is_pretrained_with_every_seed(checkpoints):
    assert set(checkpoints) == {(name, 3) for name in ("class", "masked", "tokens")}
    modes = [module.load_checkpoint(checkpoints[name, 3]).config.mode for name in SETTINGS.combinations]
    assert modes == ["classifier", "masked"]
    assert read_card(checkpoints["tokens", 3])["settings"]["training"]["seed"] == 3


def test_classifiers_start_from_the_checkpoint_of_their_arm_and_seed(checkpoints, data, monkeypatch):
    started = []

    def train(data, settings, run_directory=None):
        started.append((settings.init, settings.like, settings.n_train, settings.training.epochs))
        return module.ClassifierResult(np.zeros((1, 2)), None, np.zeros(1), None, 0.0, settings.n_train)

    monkeypatch.setattr(module, "train_classifier", train)
    curve = tune_classifiers(data, SETTINGS, checkpoints, **HERE)
    assert curve.sizes.tolist() == [16, 32] and tuple(curve.comparisons[0].results) == SETTINGS.arms
    first = {(init, like) for init, like, n, epochs in started if (n, epochs) == (16, 2)}
    tuned = {(checkpoints[name, 3], "") for name in ("class", "masked", "tokens")}
    scratch = {("scratch", checkpoints["class", 3]), ("scratch", checkpoints["tokens", 3])}
    assert first == tuned | scratch


def test_one_arm_trains_and_its_jets_count(checkpoints, data):
    result = module._tune_classifier(data, SETTINGS, checkpoints, ("masked", 16), 3, None)
    assert result.n_train == 16 and 0 <= result.metrics.auc <= 1


def test_generators_learn_and_are_measured_like_the_floor(checkpoints):
    data = GeneratorData(*(random_jets(24, seed=i, mean=6, n_classes=2) for i in range(4)))
    few = replace(SETTINGS, combinations={"masked": SETTINGS.combinations["masked"]})
    comparison = tune_generators(data, few, checkpoints, **HERE)
    assert list(comparison.results) == ["scratch", "masked"]
    scratch, masked = (comparison.of(arm)[0] for arm in ("scratch", "masked"))
    assert scratch.values()["w1_mass"] > 0 and scratch.values() != masked.values()
    assert comparison.gain("w1_mass", "masked").n == 1


def test_the_floor_knows_particles_only():
    jets = [random_jets(24, seed=i, mean=6) for i in range(4)]
    other = [one.with_jet(pt=2 * one.jet["pt"]) for one in jets]
    assert generation_floor(GeneratorData(*other), SETTINGS) == generation_floor(
        GeneratorData(*jets), SETTINGS
    )


def test_settings_come_from_yaml_and_names_of_other_arms_are_refused():
    assert from_mapping(ObjectiveStudySettings, to_mapping(SETTINGS)) == SETTINGS
    with pytest.raises(ConfigError, match=r"\['scratch'\], as other arms are"):
        replace(SETTINGS, combinations={"scratch": Objectives()})
