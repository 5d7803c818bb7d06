"""Accuracy, areas, confusion, and all that a tagging table quotes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given
from hypothesis import strategies as st
from omnilearn_lab.errors import MetricError
from omnilearn_lab.metrics import (
    accuracy,
    auc,
    background_rejection,
    classification_metrics,
    confusion_matrix,
    pair_score,
)
from omnilearn_lab.metrics.classification import auc_per_class


def random_table(seed, *, n=300, n_classes=4, digits=None):
    rng = np.random.default_rng(seed)
    labels = np.append(np.arange(n_classes), rng.integers(0, n_classes, n - n_classes))
    logits = rng.normal(size=(n, n_classes)) + 1.5 * np.eye(n_classes)[labels]
    table = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if digits is not None:  # ties
        table = np.round(table, digits) + 1e-3
        table /= table.sum(axis=1, keepdims=True)
    return table, labels, rng.choice([0.5, 1.0, 3.0], n)


@given(st.integers(0, 10_000), st.sampled_from([None, 1]))
def test_multiclass_auc_equals_scikit_learn(seed, digits):
    table, labels, weights = random_table(seed, digits=digits)
    ovr = sk.roc_auc_score(labels, table, multi_class="ovr", sample_weight=weights)
    assert auc(table, labels, weights=weights, multi_class="ovr") == pytest.approx(ovr, abs=1e-12)
    assert auc(table, labels) == pytest.approx(sk.roc_auc_score(labels, table, multi_class="ovo"), abs=1e-12)


def test_one_hot_labels_in_scikit_learn_mean_one_against_the_rest():
    """The v1 scripts pass one-hot labels and ask for "ovo": they get "ovr"; see the docstring of auc."""
    table, labels, _ = random_table(1)
    theirs = sk.roc_auc_score(np.eye(4)[labels], table, multi_class="ovo", average="macro")
    assert auc(table, labels, multi_class="ovr") == pytest.approx(theirs)
    assert auc(table, labels, multi_class="ovo") != pytest.approx(theirs, abs=1e-5)


def test_weighted_ovo_equals_repeating_jets():
    table, labels, _ = random_table(2, n=60)
    counts = np.random.default_rng(0).integers(1, 4, 60)
    repeated = auc(np.repeat(table, counts, axis=0), np.repeat(labels, counts))
    assert auc(table, labels, weights=counts) == pytest.approx(repeated)


def test_two_columns_are_the_binary_auc():
    table, labels, weights = random_table(3, n_classes=2)
    expected = sk.roc_auc_score(labels, table[:, 1], sample_weight=weights)
    assert auc(table, labels, weights=weights) == pytest.approx(expected)
    assert auc(table[:, 1], labels, weights=weights) == pytest.approx(expected)


def test_auc_per_class_averages_to_ovr():
    table, labels, _ = random_table(4)
    assert np.mean(auc_per_class(table, labels)) == pytest.approx(auc(table, labels, multi_class="ovr"))


@given(st.integers(0, 10_000))
def test_accuracy_and_confusion_equal_scikit_learn(seed):
    table, labels, weights = random_table(seed)
    predicted = table.argmax(axis=1)
    expected = sk.accuracy_score(labels, predicted, sample_weight=weights)
    assert accuracy(table, labels, weights=weights) == pytest.approx(expected)
    matrix = confusion_matrix(table, labels, weights=weights)
    np.testing.assert_allclose(
        matrix.counts, sk.confusion_matrix(labels, predicted, sample_weight=weights, labels=range(4))
    )
    np.testing.assert_allclose(matrix.fractions.sum(axis=1), 1)


def test_accuracy_of_one_signal_probability_per_jet():
    assert accuracy([0.2, 0.5, 0.51], [0, 0, 1]) == 1.0


def test_confusion_of_an_absent_class_is_zero_not_nan():
    matrix = confusion_matrix([[0.9, 0.1], [0.2, 0.8]], [0, 0], class_names=["QCD", "top"])
    assert matrix.counts.tolist() == [[1, 1], [0, 0]]
    assert matrix.fractions.tolist() == [[0.5, 0.5], [0, 0]]
    assert matrix.class_names == ("QCD", "top")


def test_pair_score_by_hand():
    score = pair_score([[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]], signal=1, background=0)
    np.testing.assert_allclose(score, [1 / 3, 0.5])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: auc([[0.2, 0.3, 0.5]] * 4, [0, 0, 1, 1]), "class 2"),
        (lambda: auc([0.1, 0.2], [1, 1]), "no background"),
        (lambda: auc([0.1, 0.2], [0, 1], multi_class="ovx"), "known: ovo, ovr"),
        (lambda: accuracy([0.1, np.nan], [0, 1]), "not finite"),
        (lambda: accuracy([[0.1, 0.9], [np.nan, 1]], [0, 1]), r"\(1, 0\)"),
        (lambda: accuracy([[0.1], [0.9]], [0, 1]), "one column per class"),
        (lambda: accuracy([], []), "at least one jet"),
        (lambda: accuracy([0.3], [0], weights=[0.0]), "sum to zero"),
        (lambda: pair_score([[-1.0, 2.0]], 1, 0), "not logits"),
        (lambda: pair_score([[0.1, 0.9]], 2, 0), "columns 0..1"),
        (lambda: confusion_matrix([0.3], [0], class_names=["a"]), "1 names for 2 classes"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(MetricError, match=message):
        call()


def scores(n_classes, seed=0, n=6000):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_classes, n)
    logits = rng.normal(size=(n, n_classes)) + np.eye(n_classes)[labels]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), labels, rng.uniform(0.5, 2, n)


def test_two_classes():
    table, labels, weights = scores(2)
    result = classification_metrics(table, labels, weights=weights, class_names=["QCD", "top"])
    assert result.auc == auc(table, labels, weights=weights)
    assert result.accuracy == accuracy(table, labels, weights=weights)
    plain = background_rejection(table[:, 1], labels, signal_efficiency=0.3, weights=weights)
    assert result.rejection(0.3).value == pytest.approx(plain.value)
    assert set(result.auc_by_class) == {"top"} and result.n_jets == len(labels)
    assert set(result.to_dict()) == {"auc", "accuracy", "rejection_at_0.5", "rejection_at_0.3"}
    json.dumps(result.to_dict(), allow_nan=False)


def test_one_column_equals_two():
    table, labels, _ = scores(2)
    assert classification_metrics(table[:, 1], labels).auc == classification_metrics(table, labels).auc


def test_many_classes_use_the_pair_score():
    table, labels, _ = scores(3)
    result = classification_metrics(table, labels, background=1, class_names=["q", "g", "t"])
    assert set(result.rejections) == {"q", "t"}
    used = labels != 0
    expected = background_rejection(pair_score(table, 2, 1)[used], labels[used] == 2)
    assert result.rejection(0.5, signal="t") == expected
    assert result.to_dict()["rejection_at_0.5[t]"] == expected.value
    assert tuple(result.auc_by_class.values()) == auc_per_class(table, labels)


def test_what_was_not_computed_is_named():
    table, labels, _ = scores(3)
    result = classification_metrics(table, labels, class_names=["q", "g", "t"])
    with pytest.raises(MetricError, match="known: g, t"):
        result.rejection(0.5)
    with pytest.raises(MetricError, match=r"computed at: 0.5, 0.3"):
        result.rejection(0.8, signal="t")


def test_a_class_without_jets_is_named():
    with pytest.raises(MetricError, match="class 2"):
        classification_metrics([[0.2, 0.3, 0.5]] * 4, [0, 0, 1, 1])


def test_errors_of_the_test_set_have_the_names_of_the_values():
    rng = np.random.default_rng(5)
    labels = rng.integers(3, size=600)
    table = rng.dirichlet(np.ones(3), size=600) + 0.6 * np.eye(3)[labels]
    result = classification_metrics(table / table.sum(axis=1, keepdims=True), labels)
    assert result.errors().keys() == result.to_dict().keys()
    share = result.accuracy
    assert share < 1 and result.accuracy_error == pytest.approx(np.sqrt(share * (1 - share) / 600), rel=2e-3)
    right = classification_metrics(np.eye(3)[labels], labels)
    assert right.accuracy == 1 and right.accuracy_error == pytest.approx(1 / 1202)  # Wilson, not zero
    assert 0 < result.auc_error < 0.02
    assert all(np.isnan(result.errors()[name]) for name in result.limits())


def test_influences_give_the_spread_over_test_sets_of_metrics_and_of_their_differences():
    """Of two taggers that share most of what they see: two errors in quadrature would be far too large."""
    rng, runs = np.random.default_rng(3), []
    for _ in range(150):
        labels = np.arange(2400) % 3
        shared = 0.7 * np.eye(3)[labels] + rng.normal(size=(2400, 3))
        tables = [np.exp(shared + 0.3 * rng.normal(size=(2400, 3))) for _ in range(2)]
        tables = [table / table.sum(axis=1, keepdims=True) for table in tables]
        weights = rng.uniform(0.5, 1.5, 2400)
        runs.append([classification_metrics(table, labels, weights=weights) for table in tables])
    for name in runs[0][0].to_dict():
        first, second = (np.array([run[i].to_dict()[name] for run in runs]) for i in (0, 1))
        alone = np.median([np.linalg.norm(run[0].influences[name]) for run in runs])
        apart = np.median([np.linalg.norm(np.subtract(*(m.influences[name] for m in run))) for run in runs])
        assert alone == pytest.approx(first.std(), rel=0.2), name
        assert apart == pytest.approx((first - second).std(), rel=0.2), name
        assert apart < 0.7 * np.hypot(first.std(), second.std()), name


def test_influences_of_one_class_against_another_are_those_of_all_metrics():
    table, labels, weights = scores(2)
    result = classification_metrics(table, labels, weights=weights)
    assert result.influences.keys() == result.errors().keys()
    for name, error in result.errors().items():  # a rejection's own error counts its cut as fixed
        background = labels == 0 if "rejection" in name else slice(None)
        assert np.linalg.norm(result.influences[name][background]) == pytest.approx(error, rel=0.1)
        assert result.influences[name].sum() == pytest.approx(0, abs=1e-12)
