"""A whole search on small events: shares kept, hidden signal, control, sculpting, bad input."""

import numpy as np
import pytest
from omnilearn_lab.errors import JetsError, MetricError
from omnilearn_lab.jets import Jets
from omnilearn_lab.models import PET, PETConfig, save_checkpoint
from omnilearn_lab.tasks.search.dijet_search import LhcoProfile, LhcoSamples, sculpting, search_dijets
from omnilearn_lab.tasks.search.event_training import EventNetwork
from omnilearn_lab.tasks.search.mass_fits import MassFit
from omnilearn_lab.tasks.search.weak_supervision import WeakSupervisionConfig
from omnilearn_lab.training import TrainConfig
from tests.tasks.dijet_events import dijets


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    save_checkpoint(PET(PETConfig(width=16, n_layers=1, n_heads=2, n_classes=3)), path, card={})
    training = TrainConfig(epochs=1, batch_size=20, learning_rate=2e-3, validations_per_epoch=1)
    weak = WeakSupervisionConfig(EventNetwork(like=str(path), n_jet_layers=1), training=training)
    return LhcoProfile("simulated", 1, 1, 10, 1, weak=weak, kept=(1.0, 0.5, 0.01), fit=MassFit(n_bins=9))


@pytest.fixture(scope="module")
def samples():
    background = dijets(200, seed=1, mass=(2400, 4900))
    signal = dijets(30, seed=2, wide=0.2, label=1)
    return LhcoSamples(dijets(1), dijets(1, label=1), Jets.concatenate([background, signal]))


def test_shares_are_kept_and_labels_follow(samples, profile):
    search = search_dijets(samples, dijets(40, seed=3), profile, 20, workers=1)
    assert len(search.masses) == 220 and search.labels.sum() == 20
    assert (search.scores > 0.5).mean() == pytest.approx(0.5, abs=0.02)
    inside = (search.masses > 3300) & (search.masses < 3700)
    assert search.hunts[1.0].observed == inside.sum()
    assert search.hunts[0.01] is None and search.significances["0.01"] is None
    assert 0 <= search.curve.auc <= 1


def test_without_a_signal_there_is_no_curve(samples, profile):
    assert search_dijets(samples, dijets(40, seed=3), profile, 0, workers=1).curve is None


def test_more_signal_than_there_is_cannot_be_injected(samples, profile):
    with pytest.raises(JetsError, match="31 signal events to inject, 30 loaded"):
        search_dijets(samples, dijets(40), profile, 31)


def test_parts_of_the_spectrum(samples):
    region = (3300.0, 3700.0)
    beside, inside = (samples.part(name, 0, region) for name in ("beside", "inside"))
    assert len(beside) + len(inside) == 400 and len(samples.part("inside", 1, region)) == 60


def test_sculpting_is_seen_and_its_absence_too():
    rng = np.random.default_rng(1)
    mass, edges = rng.random(3000), np.linspace(0, 1, 6)
    assert sculpting(mass, mass + rng.normal(0, 0.3, 3000), 0.1, edges).shape.p_value < 1e-3
    fair = [sculpting(mass, rng.random(3000), 0.1, edges) for _ in range(50)]
    assert 0.3 < np.mean([s.shape.p_value for s in fair]) < 0.7
    assert abs(np.mean([s.correlation for s in fair])) < 4 / np.sqrt(50 * 3000)
    with pytest.raises(MetricError, match="pass and fail"):
        sculpting(mass, mass, 1.0, edges)
