import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models import PET, PETConfig, save_checkpoint
from omnilearn_lab.tasks.common import (
    ClassifierComparisonSettings,
    ClassifierData,
    LearningCurve,
    compare_classifiers,
    train_learning_curve,
)
from omnilearn_lab.training import TrainConfig
from tests.training.helpers import packed

BUDGET = TrainConfig(epochs=1, batch_size=16, learning_rate=1e-3, validations_per_epoch=1)


@pytest.fixture(scope="module")
def data():
    return ClassifierData(packed(64), packed(16, seed=1), packed(48, seed=2))


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    save_checkpoint(PET(PETConfig(width=16, n_layers=1, n_heads=2, n_neighbors=3)), path, card={})
    return ClassifierComparisonSettings(str(path), (1, 2), BUDGET, BUDGET)


@pytest.fixture(scope="module")
def curve(data, config):
    return train_learning_curve(data, config, {32: 1, 16: 2}, workers=1)


def test_shapes_and_order(curve):
    assert curve.sizes.tolist() == [16, 32]
    assert curve.values("scratch", "auc").shape == (2, 2)
    assert set(curve.curves("auc")) == {"scratch", "fine-tuned", "frozen body"}


def test_epochs_follow_the_size(curve):
    assert curve.values("scratch", "epochs").tolist() == [[2, 1], [2, 1]]


def test_a_point_equals_the_comparison_on_those_jets(data, config, curve):
    with_all = compare_classifiers(data, config, workers=1)
    assert with_all.n_train == 64
    joined = curve.joined(with_all)
    assert joined.sizes.tolist() == [16, 32, 64]
    (point,) = train_learning_curve(data, config, [64], workers=1).comparisons
    for kind in ("scratch", "finetuned"):
        assert point.values(kind, "auc") == with_all.values(kind, "auc")


def test_gains_are_paired_by_seed(curve):
    difference = curve.values("finetuned", "auc") - curve.values("scratch", "auc")
    assert [g.difference for g in curve.gains("auc").values()] == pytest.approx(difference.mean(axis=0))
    assert np.isfinite(difference).all()


def test_more_jets_than_there_are(data, config):
    with pytest.raises(ConfigError, match="n_train is 100 and there are 64"):
        train_learning_curve(data, config, [100], workers=1)


def test_no_sizes(data, config):
    with pytest.raises(ConfigError, match="needs comparisons"):
        LearningCurve(())
