"""One classifier: what is measured, and where."""

from dataclasses import replace

import pytest
from omnilearn_lab.errors import CheckpointError, TrainingError
from omnilearn_lab.models import save_checkpoint
from omnilearn_lab.tasks.common import (
    ClassifierData,
    ClassifierSettings,
    make_model,
    train_classifier,
    train_many,
)
from omnilearn_lab.training import TrainConfig
from tests.conftest import random_jets
from tests.training.helpers import packed

BUDGET = TrainConfig(epochs=1, batch_size=16, learning_rate=1e-3, validations_per_epoch=1)


@pytest.fixture(scope="module")
def data():
    splits = {split: random_jets(48, seed=seed) for seed, split in enumerate(("train", "val", "test"))}
    return ClassifierData.from_jets(splits | {"another generator": random_jets(40, seed=3)})


@pytest.mark.parametrize("network", ["pfn", "particle_net", "transformer"])
def test_baselines_train_like_pet(data, network):
    settings = ClassifierSettings(2, network=network, training=BUDGET)
    result = train_classifier(data, settings)
    assert result.history.column("step")[-1] == 3
    assert result.probabilities.shape == (48, 2) and 0 <= result.metrics.auc <= 1


def test_a_run_does_not_go_on_with_other_jets(data, tmp_path):
    settings = ClassifierSettings(2, network="pfn", training=BUDGET)
    first = train_classifier(data, settings, run_directory=str(tmp_path))
    again = train_classifier(data, settings, run_directory=str(tmp_path))
    assert again.metrics.auc == first.metrics.auc
    jets = data.train.replace(points=data.train.points + 1e-3)
    with pytest.raises(TrainingError, match="other jets"):
        train_classifier(replace(data, train=jets), settings, run_directory=str(tmp_path))


def test_rejections_are_measured_where_asked(data):
    settings = ClassifierSettings(2, network="pfn", training=BUDGET, signal_efficiencies=(0.1, 0.8))
    assert {"rejection_at_0.1", "rejection_at_0.8"} < set(train_classifier(data, settings).metrics.to_dict())


def test_other_jets_are_measured_too_also_in_other_processes(data):
    settings = {"PFN": ClassifierSettings(2, network="pfn", training=BUDGET)}
    (here,) = train_many(data, settings, seeds=(1,), workers=1, progress=False)["PFN"]
    assert here.others["another generator"].n_jets == 40
    there, _ = train_many(data, settings, seeds=(1, 2), workers=2, progress=False)["PFN"]
    assert there.others["another generator"].auc == pytest.approx(here.others["another generator"].auc)
    test = packed(16, seed=2)
    same = ClassifierData(packed(32), packed(16, seed=1), test, others={"same": test})
    result = train_classifier(same, ClassifierSettings(2, network="pfn", training=BUDGET))
    assert result.others["same"].to_dict() == result.metrics.to_dict()


def test_a_baseline_is_not_fine_tuned(tmp_path):
    model = make_model(ClassifierSettings(2, network="pfn"))
    path = save_checkpoint(model, tmp_path / "pfn.safetensors")
    with pytest.raises(CheckpointError, match="heads"):
        make_model(ClassifierSettings(3, init=str(path)))
