"""Scores from pretraining classes, mixtures and scans over cuts."""

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError, JetsError, MetricError
from omnilearn_lab.tasks.search.mass_fits import MassFit
from omnilearn_lab.tasks.search.open_data import (
    THREE_PRONG,
    class_probabilities,
    efficiency_scan,
    inject,
)
from tests.conftest import random_jets

FIT = MassFit((100.0, 260.0), "log_polynomial2", n_bins=16)
REGION = (150.0, 210.0)


def test_pretrained_heads_are_used(jets):
    found = class_probabilities(jets)
    assert found.values.shape == (50, 10) and found.class_names[0] == "QCD"
    np.testing.assert_allclose(found.values.sum(axis=1), 1)
    score = found.score()
    assert ((score >= 0) & (score <= 1)).all()
    columns = [found.class_names.index(name) for name in THREE_PRONG]
    top = found.values[:, columns].sum(axis=1)
    np.testing.assert_allclose(score, top / (top + found.values[:, 0]))
    with pytest.raises(ConfigError, match="no class 'Tbq'.*did you mean"):
        found.score(["Tbq"])


def test_published_weights_have_the_classes_of_jetclass(jets, shared_fixtures):
    path = shared_fixtures / "pet_v1_keras_small.weights.h5"
    found = class_probabilities(jets, str(path))
    assert found.class_names[8] == "Tbqq" and found.values.shape == (50, 10)


def test_injection_has_the_fraction_asked_for():
    background, signal = random_jets(98, seed=1), random_jets(10, seed=2)
    mixed = inject(background, signal, 0.02)
    assert len(mixed) == 100
    assert len(inject(background, signal, 0.0)) == 98
    with pytest.raises(JetsError, match="needs 24 signal jets, found 10"):
        inject(background, signal, 0.2)
    with pytest.raises(ConfigError, match=r"\[0, 1\)"):
        inject(background, signal, 1.0)


def spectrum(n, seed):
    rng = np.random.default_rng(seed)
    mass = 100 + rng.exponential(80, n)
    return mass[mass < 260]


def test_a_good_score_makes_the_bump_appear():
    before, after = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        qcd, top = spectrum(6000, seed), rng.normal(175, 10, 80)
        mass = np.concatenate([qcd, top])
        score = np.concatenate([rng.random(len(qcd)), 0.9 + 0.1 * rng.random(80)])
        scan = efficiency_scan(mass, score, REGION, fit=FIT, kept=(1.0, 0.1))
        before.append(scan[0].significance)
        after.append(scan[1].significance)
    assert np.mean(after) > np.mean(before) + 1


def test_an_independent_score_finds_nothing():
    values = []
    for seed in range(60):
        mass = spectrum(4000, seed)
        score = np.random.default_rng(100 + seed).random(len(mass))
        values += [p.significance for p in efficiency_scan(mass, score, REGION, fit=FIT, kept=(0.3,))]
    assert abs(np.mean(values)) < 4 / np.sqrt(60) and 0.7 < np.std(values) < 1.3


def test_thin_sidebands_are_a_gap_and_not_a_failure():
    mass = spectrum(400, 1)
    first, second = efficiency_scan(mass, -np.abs(mass - 180), REGION, fit=FIT, kept=(1.0, 0.05))
    assert first.hunt is not None
    assert second.hunt is None and "sidebands" in second.problem and np.isnan(second.significance)


@pytest.mark.parametrize(
    ("masses", "scores", "kept", "message"),
    [
        ([150.0], [0.1, 0.2], (1.0,), "shapes"),
        ([], [], (1.0,), "shapes"),
        ([np.nan], [0.1], (1.0,), "not finite"),
        ([150.0], [np.inf], (1.0,), "not finite"),
        ([150.0], [0.1], (0.0,), "shares"),
    ],
)
def test_bad_input_is_named(masses, scores, kept, message):
    with pytest.raises(MetricError, match=message):
        efficiency_scan(masses, scores, REGION, fit=FIT, kept=kept)
