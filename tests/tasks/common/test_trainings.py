import numpy as np
import pytest
import torch
from omnilearn_lab.errors import ConfigError, DataFileError
from omnilearn_lab.metrics import accuracy
from omnilearn_lab.tasks.common import ClassifierData, ClassifierSettings, train_classifier, train_many
from omnilearn_lab.training import TrainConfig
from tests.conftest import random_jets
from tests.training.helpers import packed

BUDGET = TrainConfig(epochs=1, batch_size=16, learning_rate=1e-3, validations_per_epoch=1)


def both_inputs():
    jets = {s: random_jets(40, seed=i, mean=5) for i, s in enumerate(("train", "val", "test"))}
    return {kind: ClassifierData.from_jets(jets, inputs=kind) for kind in ("pet", "pet_v2")}


def test_networks_with_different_inputs_train_side_by_side():
    settings = {
        name: ClassifierSettings(2, network=name, training=BUDGET, n_train=32) for name in ("pfn", "pet_v2")
    }
    data = both_inputs()
    found = train_many(data, settings, seeds=(1, 2), workers=2, progress=False)
    assert {name: len(results) for name, results in found.items()} == {"pfn": 2, "pet_v2": 2}
    assert all(r.n_train == 32 and len(r.probabilities) == 40 for rs in found.values() for r in rs)
    assert not np.array_equal(found["pfn"][0].probabilities, found["pfn"][1].probabilities)
    with pytest.raises(ConfigError, match="reads 'pet_v2' inputs"):
        train_many({"pet": data["pet"]}, settings, workers=1, progress=False)


def test_repeated_seeds_are_refused():
    with pytest.raises(ConfigError, match="only once"):
        train_many(both_inputs(), {}, seeds=(1, 1))


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
    score, label, kept = measured.scores(test.replace(weight=weight))
    assert len(score) == len(label) == len(kept) == 64


def test_more_than_two_classes():
    parts = [packed(60, seed=seed, n_classes=3) for seed in range(3)]
    data = ClassifierData(*parts, ("QCD", "W", "top"))
    result = train_classifier(data, ClassifierSettings(3, network="pfn", training=BUDGET))
    assert {"auc", "rejection_at_0.5[W]", "rejection_at_0.5[top]"} <= set(result.metrics.to_dict())
    score, is_signal = result.scores(data.test, signal=2, background=0)
    label = data.test.label.numpy()
    np.testing.assert_array_equal(is_signal, label[label != 1] == 2)
    assert ((score >= 0) & (score <= 1)).all()
