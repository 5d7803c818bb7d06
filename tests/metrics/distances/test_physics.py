"""Frechet and kernel distances against the jetnet library."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.errors import MetricError
from omnilearn_lab.metrics.distances import FpdConfig, KpdConfig, fpd, kpd
from omnilearn_lab.metrics.distances.physics import frechet_distance


def test_frechet_distance_of_known_normals():
    rng = np.random.default_rng(0)
    white = rng.normal(size=(500, 3))
    white = (white - white.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(white, rowvar=False))).T
    stretched = white * [1.0, 2.0, 3.0] + [0.0, 0.0, 5.0]
    # commuting covariances: sum of squared differences of the standard deviations, plus the shift
    assert frechet_distance(white, stretched) == pytest.approx(0 + 1 + 4 + 25)
    assert frechet_distance(white, white) == pytest.approx(0, abs=1e-12)


def test_frechet_distance_takes_a_constant_feature():
    data = np.random.default_rng(1).normal(size=(50, 3)) * [1, 1, 0]
    assert frechet_distance(data, data + [0, 0, 2.0]) == pytest.approx(4.0)


def test_fpd_equals_jetnet(jetnet):
    config = FpdConfig(min_samples=48, max_samples=120)
    score = fpd(jetnet["features_real"], jetnet["features_made"], config=config)
    # its line is fitted by an iterative solver, ours is exact
    assert (score.value, score.uncertainty) == pytest.approx(tuple(jetnet["fpd"]), rel=1e-6)


def test_kpd_equals_jetnet(jetnet):
    score = kpd(jetnet["features_real"], jetnet["features_made"], config=KpdConfig(batch_size=120))
    assert (score.value, score.uncertainty) == pytest.approx(tuple(jetnet["kpd"]), rel=1e-10)


def test_kpd_equals_the_double_sum():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(30, 2)), rng.normal(0.5, 1, (30, 2))
    score = kpd(a, b, config=KpdConfig(n_batches=1, batch_size=30))
    draws = np.random.default_rng(42)
    scale = np.abs(a).max(axis=0)
    x, y = (a / scale)[draws.choice(30, 30)], (b / scale)[draws.choice(30, 30)]
    kernel = lambda u, v: (u @ v / 2 + 1) ** 4  # noqa: E731
    own = sum(kernel(s[i], s[j]) for s in (x, y) for i in range(30) for j in range(30) if i != j) / (30 * 29)
    cross = np.mean([[kernel(u, v) for v in y] for u in x])
    assert score.value == pytest.approx(own - 2 * cross)


def test_scores_grow_with_the_shift_and_vanish_without():
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(1500, 4)), rng.normal(size=(1500, 4))
    shifted = [fpd(a, b + shift, config=FpdConfig(n_batches=3)).value for shift in (0.0, 0.5, 1.0)]
    assert shifted[0] < 0.01 * shifted[2] and shifted[0] < shifted[1] < shifted[2]
    kernel = [kpd(a, b + shift, config=KpdConfig(n_batches=3)) for shift in (0.0, 1.0)]
    assert abs(kernel[0].value) < 0.1 * kernel[1].value


def test_small_samples_and_other_settings_are_not_comparable():
    data = np.random.default_rng(0).normal(size=(100, 2))
    assert not fpd(data, data, config=FpdConfig(n_batches=1)).is_comparable
    assert not kpd(data, data, config=KpdConfig(n_batches=1)).is_comparable


def test_weights_move_the_reference():
    rng = np.random.default_rng(2)
    a = np.append(rng.normal(0, 1, 2000), rng.normal(8, 1, 2000))[:, None]
    weights = np.repeat([0.0, 1.0], 2000)
    selected = fpd(a, a[2000:], weights=(weights, None), config=FpdConfig(n_batches=3))
    assert selected.value < 0.01 * fpd(a, a[2000:], config=FpdConfig(n_batches=3)).value


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fpd(np.ones((20, 2)), np.ones((20, 3))), "2 features and generated 3"),
        (lambda: fpd(np.ones((5, 2)), np.ones((20, 2))), "at least 10 jets"),
        (lambda: kpd(np.full((20, 2), np.nan), np.ones((20, 2))), "not finite"),
        (lambda: frechet_distance([[1.0]], [[1.0]]), "at least two"),
        (lambda: FpdConfig(min_samples=50, max_samples=10), "min_samples < max_samples"),
        (lambda: KpdConfig(batch_size=1), "two jets"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(MetricError, match=message):
        call()
