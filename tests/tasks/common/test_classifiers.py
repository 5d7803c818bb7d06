"""Several classifiers over seeds and sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models import PET, PETConfig, save_checkpoint
from omnilearn_lab.tasks.common import (
    ClassifierComparisonSettings,
    ClassifierData,
    ClassifierSettings,
    FrozenSettings,
    LearningCurve,
    Rows,
    compare_classifiers,
    fit_head,
    train_classifiers,
    train_frozen,
    train_learning_curve,
)
from omnilearn_lab.training import TrainConfig, embed_jets, heads
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
    found = train_classifiers(data, settings, seeds=(1, 2), workers=1, progress=False).results
    assert {name: len(results) for name, results in found.items()} == {"pfn": 2, "pet_v2": 2}
    assert all(r.n_train == 32 and len(r.probabilities) == 40 for rs in found.values() for r in rs)
    assert not np.array_equal(found["pfn"][0].probabilities, found["pfn"][1].probabilities)
    with pytest.raises(ConfigError, match="reads 'pet_v2' inputs"):
        train_classifiers({"pet": data["pet"]}, settings, workers=1, progress=False)


@pytest.fixture(scope="module")
def small():
    return ClassifierData(packed(48), packed(32, seed=1), packed(64, seed=2))


@pytest.fixture(scope="module")
def comparison_settings(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    save_checkpoint(PET(PETConfig.named("tiny")), path, card={})
    budget = replace(BUDGET, validations_per_epoch=2)
    return ClassifierComparisonSettings(str(path), seeds=(1, 2), scratch=budget, finetuned=budget)


@pytest.fixture(scope="module")
def comparison(small, comparison_settings):
    return compare_classifiers(small, comparison_settings, workers=1)


def test_record_holds_a_value_per_seed(comparison):
    record = comparison.record()
    metrics = {"auc", "accuracy", "rejection_at_0.5", "rejection_at_0.3", "best_val_loss", "epochs"}
    assert set(record.metrics) == metrics
    assert all(len(values) == 2 for kinds in record.metrics.values() for values in kinds.values())
    assert list(record.metrics["auc"]) == ["scratch", "finetuned", "frozen"]
    assert list(record.metrics["epochs"]) == ["scratch", "finetuned"]
    assert (record.n_train, record.n_test) == (48, 64)
    assert len(record.speedup_epochs) == 2
    assert record.smaller_is_better == ["best_val_loss", "epochs"]
    steps = {f"{step} (summed over processes)" for step in ("training", "evaluation")}
    assert set(comparison.seconds_by_step()) == steps


def test_seeds_and_starts_differ(comparison):
    curves = [tuple(h.val_loss) for runs in comparison.histories().values() for h in runs]
    assert len(set(curves)) == 4


@pytest.mark.slow  # one of the tests of other jets does this quickly
def test_processes_give_the_same_numbers(small, comparison_settings, comparison):
    again = compare_classifiers(small, comparison_settings, workers=2, progress=False)
    for kind in ("scratch", "finetuned"):
        for a, b in zip(comparison.of(kind), again.of(kind), strict=True):
            np.testing.assert_allclose(a.history.val_loss, b.history.val_loss, rtol=1e-5)
            np.testing.assert_allclose(a.probabilities, b.probabilities, rtol=1e-4)


def test_interrupted_comparison_goes_on(small, comparison_settings, tmp_path):
    first = compare_classifiers(small, comparison_settings, workers=1, directory=tmp_path)
    again = compare_classifiers(small, comparison_settings, workers=1, directory=tmp_path)
    assert again.values("scratch", "auc") == first.values("scratch", "auc")


def test_labels_outside_the_classes_are_refused(small, comparison_settings):
    bad = small.train.replace(label=small.train.label + 1)
    with pytest.raises(ConfigError, match="train jets have label 2"):
        compare_classifiers(
            ClassifierData(bad, small.validation, small.test, ("QCD", "top")), comparison_settings, workers=1
        )


def test_frozen_body_is_an_arm_that_learns_from_the_embedding_alone(small, comparison_settings, comparison):
    frozen = comparison_settings.classifiers()["frozen"]
    model, (result, again) = frozen.model(), comparison.of("frozen")
    batches = (small.train, small.validation, small.test)
    train, validation, test = (Rows(embed_jets(model, jets), jets.label.numpy()) for jets in batches)
    expected = fit_head(train, validation).predict(test.values)
    np.testing.assert_allclose(result.probabilities, expected, atol=1e-5)
    np.testing.assert_array_equal(result.probabilities, again.probabilities)
    assert result.history is None and list(comparison.histories()) == ["scratch", "fine-tuned"]
    assert "frozen body, here" in comparison.rows(["auc"]) and "frozen body" in comparison.scores()


def test_embeddings_are_computed_once(small, comparison_settings, data_folder, monkeypatch):
    frozen = comparison_settings.classifiers()["frozen"]
    first = train_frozen(small, frozen)
    monkeypatch.setattr(heads, "_embed", None)  # calling it would be an error
    again = train_frozen(small, replace(frozen, n_train=32))
    assert (first.n_train, again.n_train) == (48, 32)
    assert not np.array_equal(first.probabilities, again.probabilities)
    assert list((data_folder / "embeddings").iterdir())


def test_a_frozen_body_may_be_left_out(comparison_settings):
    assert list(replace(comparison_settings, head=None).classifiers()) == ["scratch", "finetuned"]


def test_a_longer_training_from_scratch_is_an_arm_beside_the_equal_budgets(data, config):
    longer = replace(config, head=None, converged=replace(BUDGET, epochs=3))
    both = compare_classifiers(data, longer, workers=1)
    assert both.values("converged", "epochs") == [3, 3] and both.values("scratch", "epochs") == [1, 1]
    for run, short in zip(both.of("converged"), both.of("scratch"), strict=True):
        assert not np.array_equal(run.probabilities, short.probabilities)
    assert "scratch, converged" in both.histories()
    curve = train_learning_curve(data, longer, [32], workers=1).joined(both)
    assert set(curve.curves("auc")) == {"scratch", "fine-tuned"}  # of equal budgets only


def test_a_frozen_pet_v2_reads_what_it_was_trained_on():
    jets = {s: random_jets(60, seed=i, mean=5) for i, s in enumerate(("train", "val", "test"))}
    data = ClassifierData.from_jets(jets, inputs="pet_v2", use_pid=False)
    settings = FrozenSettings(2, "v2_tiny", head="trees")
    assert settings.inputs == "pet_v2"
    result = train_frozen(data, settings)
    assert result.probabilities.shape == (60, 2) and np.isfinite(result.metrics.auc)


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
