import numpy as np
import pytest
import torch
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.features import pet_v2_batch
from omnilearn_lab.models import PETv2, PETv2Config
from omnilearn_lab.tasks.common.classification import ClassifierData
from omnilearn_lab.tasks.pretraining.class_study import (
    ClassStudySettings,
    choose_classes,
    join_classes,
    pretrain_body,
    study_classes,
)
from omnilearn_lab.training import TrainConfig
from tests.conftest import random_jets

QUICK = TrainConfig(epochs=1, batch_size=16, learning_rate=1e-3, validations_per_epoch=1)
BASE = {"width": 16, "n_layers": 1, "n_head_layers": 1, "n_heads": 2, "n_neighbors": 3}
SETTINGS = ClassStudySettings("tiny", BASE, {}, 40, (1, 2), QUICK, QUICK, QUICK)


def test_chosen_classes_are_balanced_and_labelled_in_order():
    jets = random_jets(300, n_classes=4)
    chosen = choose_classes(jets, ("class 3", "class 1"), 80)
    assert chosen.class_names == ("class 3", "class 1")
    assert np.bincount(chosen.label).tolist() == [40, 40]
    mine = set(jets[jets.label == 3].jet["mass"].tolist())
    assert set(chosen[chosen.label == 0].jet["mass"].tolist()) <= mine


def test_too_few_jets_and_unknown_classes_are_named():
    jets = random_jets(20, n_classes=2)
    with pytest.raises(ConfigError, match="load more jets"):
        choose_classes(jets, ("class 0", "class 1"), 400)
    with pytest.raises(ConfigError, match="no class 'clas 0'"):
        choose_classes(jets, ("clas 0",), 1)


def test_joined_jets_are_one_more_class():
    both = join_classes(random_jets(5), random_jets(3, seed=1))
    assert both.class_names == ("class 0", "class 1", "data")
    assert both.label[5:].tolist() == [2, 2, 2]


def test_pretraining_changes_the_body_by_the_seed_alone():
    jets = pet_v2_batch(random_jets(60, mean=6.0, n_classes=3))
    config = PETv2Config.named("tiny", **BASE, mode="pretrain", n_classes=3)
    first, again = (pretrain_body(jets, config, QUICK) for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    torch.manual_seed(QUICK.seed)
    start = PETv2(config).body.state_dict()
    changed = [name for name in first if not torch.equal(first[name], start[name])]
    assert len(changed) > len(first) / 2


def test_study_trains_scratch_and_every_subset():
    splits = {s: random_jets(40, seed=i, mean=6.0) for i, s in enumerate(("train", "val", "test"))}
    data = ClassifierData.from_jets(splits, inputs="pet_v2", use_pid=False)
    jets = random_jets(60, seed=9, mean=6.0, n_classes=3)
    subsets = {"two": choose_classes(jets, ("class 0", "class 1"), 30), "three": jets}
    comparison = study_classes(subsets, data, SETTINGS, workers=1, progress=False)
    assert list(comparison.results) == ["scratch", "two", "three"]
    assert all(len(runs) == 2 for runs in comparison.results.values())
    scores = [runs[0].probabilities for runs in comparison.results.values()]
    assert not np.allclose(scores[0], scores[1]) and not np.allclose(scores[1], scores[2])
