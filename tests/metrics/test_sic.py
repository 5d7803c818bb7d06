"""Significance improvement and its floor."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.errors import MetricError
from omnilearn_lab.metrics import max_sic, roc, sic_curve
from sklearn.metrics import roc_curve


def sample(seed=0, n=20_000):
    rng = np.random.default_rng(seed)
    labels = np.repeat([1, 0], n)
    return rng.normal(2.0 * labels), labels


def test_published_rule_without_count_floor_equals_the_scripts():
    scores, labels = sample()
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    keep = fpr > 1e-4
    best = max_sic(roc(scores, labels), min_background=0)
    assert best.value == pytest.approx(np.max(tpr[keep] / np.sqrt(fpr[keep])))


def test_floor_removes_points_of_few_background_jets():
    scores, labels = sample()
    points = sic_curve(roc(scores, labels), min_background=25)
    assert points.n_background_passed.min() >= 25
    assert np.all(points.uncertainty <= points.significance_improvement / 10)


def test_floor_keeps_a_lucky_point_from_winning():
    scores = np.append(np.arange(1000.0) + 5000, np.arange(1000.0))  # one background jet sits on top
    scores[-1] = 1e4
    labels = np.repeat([1, 0], 1000)
    floorless = max_sic(roc(scores, labels), min_background=0, min_background_efficiency=0)
    assert floorless.value == pytest.approx(np.sqrt(1000))
    assert max_sic(roc(scores, labels)).value == pytest.approx(1 / np.sqrt(0.01))


def test_random_scores_gain_nothing():
    rng = np.random.default_rng(1)
    best = max_sic(roc(rng.random(200_000), rng.integers(0, 2, 200_000)), min_background=400)
    assert best.value == pytest.approx(1.0, abs=4 * best.uncertainty + 1e-3)


def test_too_little_background_is_an_error():
    with pytest.raises(MetricError, match="10 background jets"):
        max_sic(roc(np.arange(12.0), np.arange(12) > 5))
