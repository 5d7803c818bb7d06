"""The one-call summary says what its parts say."""

from __future__ import annotations

import json

import numpy as np
import pytest
from omnilearn_lab.errors import MetricError
from omnilearn_lab.metrics import (
    accuracy,
    auc,
    auc_per_class,
    background_rejection,
    classification_metrics,
    pair_score,
)


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
