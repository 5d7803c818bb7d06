"""Weak supervision in jets of open data: three arms, flat cuts, a control that finds nothing."""

from dataclasses import replace

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models import PET, PETConfig, save_checkpoint
from omnilearn_lab.tasks.common.comparison import ComparisonSettings
from omnilearn_lab.tasks.search.decorrelation import control_experiments
from omnilearn_lab.tasks.search.events import EventNetwork
from omnilearn_lab.tasks.search.open_data import OpenDataSamples
from omnilearn_lab.tasks.search.open_data_search import (
    EmbeddedJets,
    OpenDataSearchSettings,
    compare_weak_supervision,
    search_embedded,
)
from omnilearn_lab.tasks.search.weak_supervision import WeakSupervisionConfig
from omnilearn_lab.training import TrainConfig
from tests.conftest import random_jets

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
    assert np.mean([point.significance for point in found]) > 3
    pool = embedded(4000, 99)

    def search(data, reference):
        return search_embedded(pool.take(data), pool.take(reference), settings).scan

    controls = control_experiments(search, 4000, n_data=2000)
    assert all(control.is_flat for control in controls.values()), [str(c) for c in controls.values()]


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
