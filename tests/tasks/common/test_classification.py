"""Classifiers: what is measured and where, one training and several side by side."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from omnilearn_lab.errors import CheckpointError, DataFileError, JetsError, TrainingError
from omnilearn_lab.jets import Jets
from omnilearn_lab.metrics import accuracy
from omnilearn_lab.models import save_checkpoint
from omnilearn_lab.tasks.common import (
    ClassifierData,
    ClassifierSettings,
    describe_checkpoint,
    make_model,
    train_classifier,
    train_classifiers,
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
    (here,) = train_classifiers(data, settings, seeds=(1,), workers=1, progress=False).of("PFN")
    assert here.others["another generator"].n_jets == 40
    there, _ = train_classifiers(data, settings, seeds=(1, 2), workers=2, progress=False).of("PFN")
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


def test_files_hold_everything(tmp_path):
    data = ClassifierData(packed(20), packed(5, seed=1), packed(6, seed=2), ("QCD", "top"))
    again = ClassifierData.load(data.save(tmp_path / "jets.safetensors"))
    assert again.class_names == ("QCD", "top")
    for part, batch in data.parts.items():
        for name, value in vars(batch).items():
            if isinstance(value, torch.Tensor):
                torch.testing.assert_close(getattr(again.parts[part], name), value, rtol=0, atol=0)
    (tmp_path / "broken").write_bytes(b"nothing")
    with pytest.raises(DataFileError, match="broken"):
        ClassifierData.load(tmp_path / "broken")


def test_only_the_first_jets_are_used():
    data = ClassifierData(packed(64), packed(16, seed=1), packed(16, seed=2))
    settings = ClassifierSettings(2, network="pfn", training=BUDGET, n_train=32)
    other = data.train.replace(features=data.train.features.clone())
    other.features[int(other.offsets[32]) :] = 0
    same = ClassifierData(other, data.validation, data.test)
    first, second = (train_classifier(d, settings) for d in (data, same))
    np.testing.assert_array_equal(first.probabilities, second.probabilities)


def test_weights_count_in_training_and_in_the_metrics():
    train, validation, test = packed(64), packed(16, seed=1), packed(64, seed=2)
    weight = torch.linspace(0.1, 3, 64)
    settings = ClassifierSettings(2, network="pfn", training=BUDGET)
    plain = train_classifier(ClassifierData(train, validation, test), settings)
    weighted = train_classifier(ClassifierData(train.replace(weight=weight), validation, test), settings)
    assert not np.allclose(plain.probabilities, weighted.probabilities)
    measured = train_classifier(ClassifierData(train, validation, test.replace(weight=weight)), settings)
    np.testing.assert_array_equal(measured.probabilities, plain.probabilities)
    expected = accuracy(plain.probabilities, test.label.numpy(), weights=weight.numpy())
    assert measured.metrics.accuracy == pytest.approx(expected)
    assert measured.metrics.accuracy != plain.metrics.accuracy
    score, label, kept = measured.scores()
    assert len(score) == len(label) == len(kept) == 64


def test_more_than_two_classes():
    parts = [packed(60, seed=seed, n_classes=3) for seed in range(3)]
    data = ClassifierData(*parts, ("QCD", "W", "top"))
    result = train_classifier(data, ClassifierSettings(3, network="pfn", training=BUDGET))
    assert {"auc", "rejection_at_0.5[W]", "rejection_at_0.5[top]"} <= set(result.metrics.to_dict())
    score, is_signal = result.scores(signal=2, background=0)
    label = data.test.label.numpy()
    np.testing.assert_array_equal(is_signal, label[label != 1] == 2)
    assert ((score >= 0) & (score <= 1)).all()


def test_published_weights_can_be_fine_tuned(data, shared_fixtures):
    weights = str(shared_fixtures / "pet_v1_keras_small.weights.h5")
    result = train_classifier(data, ClassifierSettings(2, weights, training=BUDGET))
    assert np.isfinite(result.history.val_loss).all()
    assert "published weights" in describe_checkpoint(weights)


def test_shipped_checkpoint_is_described():
    assert "400,000 simulated jets of 10 classes, 800,000 seen and 749,824 before;" in describe_checkpoint(
        "tiny"
    )


def test_classes_of_a_split_are_matched_by_name():
    jets = random_jets(40, mean=5)
    turned = jets.with_classes(jets.class_names[::-1])
    assert not np.array_equal(turned.label, jets.label)
    data = ClassifierData.from_jets({"train": jets, "val": jets, "test": turned})
    assert data.class_names == jets.class_names
    assert data.test.label.tolist() == jets.label.tolist()
    other = Jets(jets.particles, jets.offsets, jets.jet, ("W", *jets.class_names[1:]))
    with pytest.raises(JetsError, match="cannot be taken for"):
        ClassifierData.from_jets({"train": jets, "val": jets, "test": other})
