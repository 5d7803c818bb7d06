"""The search in open data."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.models import PET, PETConfig, save_checkpoint
from omnilearn_lab.tasks.common.comparison import ComparisonSettings
from omnilearn_lab.tasks.search.decorrelation import control_experiments
from omnilearn_lab.tasks.search.events import EventNetwork
from omnilearn_lab.tasks.search.open_data import (
    THREE_PRONG,
    EmbeddedJets,
    OpenDataSamples,
    OpenDataSearchSettings,
    class_probabilities,
    compare_weak_supervision,
    inject,
    search_embedded,
)
from omnilearn_lab.tasks.search.weak_supervision import WeakSupervisionConfig
from omnilearn_lab.training import TrainConfig
from tests.conftest import random_jets


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


SHORT = TrainConfig(epochs=0.5, batch_size=32, learning_rate=1e-3, validations_per_epoch=1)


def embedded(n, seed, n_signal=0):
    """Falling masses; one of the embedding's numbers follows the mass, another one knows the signal."""
    rng = np.random.default_rng(seed)
    mass = 100 + rng.exponential(80, 3 * n)
    mass = np.concatenate([mass[mass < 260][:n], rng.normal(175, 10, n_signal)])
    rows = rng.normal(size=(len(mass), 6))
    rows[:, 0] += np.exp(-(((mass - 180) / 50) ** 2))
    rows[n:, 1] += 3.0
    return EmbeddedJets(mass, rows)


def test_signal_is_found_and_background_alone_is_flat():
    settings = OpenDataSearchSettings(kept=(0.3, 0.1))
    found = [
        search_embedded(embedded(3000, 2 * k, 90), embedded(3000, 2 * k + 1), settings, seed=k).scan[1]
        for k in range(4)
    ]
    assert np.mean([point.significance for point in found]) > 2.5
    assert np.mean([p.hunt.chi2 / p.hunt.n_degrees_of_freedom for p in found]) < 1.4
    pools = [embedded(4000, 99 + k) for k in range(4)]

    def search(pool, data, reference):
        return search_embedded(pool.take(data), pool.take(reference), settings).scan

    controls = [control_experiments(partial(search, pool), 4000, n_experiments=5) for pool in pools]
    for share in settings.kept:  # halves of a pool share its jets: means of pools scatter by 0.5
        assert abs(np.mean([control[share].mean for control in controls])) < 0.75


def test_three_arms_have_the_same_seeds(tmp_path):
    path = tmp_path / "small.safetensors"
    save_checkpoint(PET(PETConfig(width=16, n_layers=1, n_heads=2, n_classes=3)), path, card={})
    rng = np.random.default_rng(1)
    data, reference = (
        jets.with_jet(soft_drop_mass=rng.uniform(100, 260, len(jets)))
        for jets in (random_jets(400, seed=1, mean=4), random_jets(400, seed=2, mean=4))
    )
    compare = ComparisonSettings(str(path), (1, 2), SHORT, replace(SHORT, body_lr_factor=0.1))
    weak = WeakSupervisionConfig(EventNetwork(jets_per_event=1))
    settings = OpenDataSearchSettings(kept=(0.3,), weak=weak, compare=compare)
    comparison = compare_weak_supervision(OpenDataSamples(data, reference), settings, workers=1)
    assert list(comparison.results) == ["scratch", "finetuned", "frozen"]
    record = comparison.record()
    assert set(record.metrics) == {"significance, 30% kept", "auc_data_against_reference"}
    assert all(len(run.scores) == 400 for runs in comparison.results.values() for run in runs)
    without = compare_weak_supervision(
        OpenDataSamples(data, reference), replace(settings, frozen=False), workers=1
    )
    assert list(without.results) == ["scratch", "finetuned"]


def test_events_of_two_jets_are_refused():
    with pytest.raises(ConfigError, match="every jet is an event"):
        OpenDataSearchSettings(weak=WeakSupervisionConfig(EventNetwork(jets_per_event=2)))
