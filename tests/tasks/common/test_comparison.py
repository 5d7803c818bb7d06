import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models import PET, PETConfig, save_checkpoint
from omnilearn_lab.published import published_results
from omnilearn_lab.tasks.common import (
    ClassifierData,
    ClassifierSettings,
    CompareConfig,
    compare,
    describe_checkpoint,
    train_classifier,
)
from omnilearn_lab.training import TrainConfig
from tests.training.helpers import packed

BUDGET = TrainConfig(epochs=1, batch_size=16, learning_rate=1e-3, validations_per_epoch=2)


@pytest.fixture(scope="module")
def data():
    return ClassifierData(packed(48), packed(32, seed=1), packed(64, seed=2))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    save_checkpoint(PET(PETConfig.named("tiny")), path, card={})
    return str(path)


@pytest.fixture(scope="module")
def config(checkpoint):
    return CompareConfig(checkpoint=checkpoint, seeds=(1, 2), scratch=BUDGET, finetuned=BUDGET)


@pytest.fixture(scope="module")
def comparison(data, config):
    return compare(data, config, workers=1)


def test_record_holds_a_value_per_seed(comparison):
    record = comparison.record(published_results("top_tagging"))
    assert set(record.metrics) == {
        "auc",
        "accuracy",
        "rejection_at_0.5",
        "rejection_at_0.3",
        "best_val_loss",
        "epochs",
    }
    assert all(len(values) == 2 for kinds in record.metrics.values() for values in kinds.values())
    assert record.n_train == 48
    assert len(record.speedup_epochs) == 2
    assert record.gains["auc"].difference == pytest.approx(comparison.gain("auc").difference)
    assert record.published["OmniLearn"]["auc"] == 0.9872


def test_seeds_and_starts_differ(comparison):
    curves = [tuple(h.val_loss) for runs in comparison.histories().values() for h in runs]
    assert len(set(curves)) == 4


def test_processes_give_the_same_numbers(data, config, comparison):
    again = compare(data, config, workers=2, progress=False)
    for kind in ("scratch", "finetuned"):
        for a, b in zip(comparison.results(kind), again.results(kind), strict=True):
            np.testing.assert_allclose(a.history.val_loss, b.history.val_loss, rtol=1e-5)
            np.testing.assert_allclose(a.probabilities, b.probabilities, rtol=1e-4)


def test_interrupted_comparison_goes_on(data, config, tmp_path):
    first = compare(data, config, workers=1, directory=tmp_path)
    again = compare(data, config, workers=1, directory=tmp_path)
    assert again.values("scratch", "auc") == first.values("scratch", "auc")


def test_unequal_budgets_are_refused(checkpoint):
    with pytest.raises(ConfigError, match="epochs is 1 for scratch and 2"):
        CompareConfig(checkpoint, scratch=BUDGET, finetuned=TrainConfig(epochs=2, batch_size=16))


def test_repeated_seeds_are_refused():
    with pytest.raises(ConfigError, match="only once"):
        CompareConfig(seeds=(1, 1))


def test_labels_outside_the_classes_are_refused(data, config):
    bad = data.train.replace(label=data.train.label + 1)
    with pytest.raises(ConfigError, match="train jets have label 2"):
        compare(ClassifierData(bad, data.validation, data.test), config, workers=1)


def test_published_weights_can_be_fine_tuned(data, shared_fixtures):
    weights = str(shared_fixtures / "pet_v1_keras_small.weights.h5")
    result = train_classifier(data, ClassifierSettings(2, weights, training=BUDGET))
    assert np.isfinite(result.history.val_loss).all()
    assert "published weights" in describe_checkpoint(weights)


def test_shipped_checkpoint_is_described():
    assert "300,000 simulated jets of 10 classes" in describe_checkpoint("tiny")
