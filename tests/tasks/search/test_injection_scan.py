"""The scan over injected signal: roles of events, the floor, the significance improvement by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.metrics import max_sic, roc
from omnilearn_lab.models import PET, PETConfig, save_checkpoint
from omnilearn_lab.tasks.common.comparison import Comparison, ComparisonSettings
from omnilearn_lab.tasks.search import events
from omnilearn_lab.tasks.search.events import EventNetwork
from omnilearn_lab.tasks.search.injection_scan import (
    InjectionResult,
    InjectionScan,
    InjectionSettings,
    _Events,
    _Point,
    random_sic,
    scan_injections,
)
from omnilearn_lab.training import History, TrainConfig
from tests.tasks.dijet_events import dijets

BUDGET = TrainConfig(epochs=1, batch_size=20, learning_rate=2e-3, validations_per_epoch=1)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    save_checkpoint(PET(PETConfig(width=16, n_layers=1, n_heads=2, n_classes=3)), path, card={})
    compare = ComparisonSettings(checkpoint=str(path), seeds=(1, 2), scratch=BUDGET, finetuned=BUDGET)
    return InjectionSettings(
        40, 40, injections=(0, 20), min_background=3, network=EventNetwork(n_jet_layers=1), compare=compare
    )


@pytest.fixture(scope="module")
def samples():
    return dijets(140, seed=1), dijets(60, seed=2, wide=0.2, label=1)


def test_scan_has_a_value_per_kind_injection_and_seed(config, samples):
    scan = scan_injections(*samples, config, workers=1)
    for injections, values in scan.points().values():
        assert injections.tolist() == [0, 20] and values.shape == (2, 2) and (values >= 1).all()
    record = scan.by_injection[20].record()
    assert (record.n_train, record.n_test) == (100, 100) and len(record.metrics["max_sic"]["finetuned"]) == 2
    assert {kind: len(curves) for kind, curves in scan.curves(0).items()} == {
        "scratch": 2, "fine-tuned": 2, "frozen body": 2,
    }  # fmt: skip
    assert set(record.metrics["auc"]) == {"scratch", "finetuned", "frozen"}
    assert scan.significance(20) == pytest.approx(20 / np.sqrt(40))


def test_the_frozen_kind_alone_finds_a_signal(config, samples):
    settings = replace(config, kinds=("frozen",), n_data=60, n_reference=60, injections=(0, 30))
    scan = scan_injections(*samples, settings, workers=1)
    assert list(scan.points()) == ["frozen body"]
    assert scan.by_injection[30].spread("frozen", "auc").mean > 0.7
    assert scan.by_injection[30].of("frozen")[0].history is None


def test_trees_on_observables_find_it_too_and_train_no_network(config, samples, monkeypatch):
    monkeypatch.setattr(events, "shared_events", None)  # no network, no file of their inputs
    settings = replace(config, kinds=("trees",), n_data=60, n_reference=60, injections=(0, 30), n_test=20)
    scan = scan_injections(*samples, settings, workers=1)
    assert list(scan.numbers()) == ["boosted trees, 0 injected", "boosted trees, 30 injected"]
    assert scan.by_injection[30].spread("trees", "auc").mean > 0.7
    assert [run.n_test for run in scan.by_injection[0].of("trees")] == [20 + 20, 20 + 20]


def test_no_event_has_two_roles(config):
    shared = _Events(config, Path(), {"frozen": np.zeros((200, 1))}, 140, 60)
    one, other = (shared.job(_Point("frozen", 20), seed, None) for seed in (1, 2))
    roles = np.concatenate([one.train, one.validation, one.score])
    assert len(roles) == len(set(roles)) == 200
    assert one.is_data.sum() == 60 and one.is_data[140:].sum() == 20 and not one.is_data[one.score].any()
    assert set(np.flatnonzero(other.is_data)) != set(np.flatnonzero(one.is_data))


def test_significance_improvement_by_hand():
    """Two of four signal events above 4 of 100 background events: 0.5 / sqrt(0.04) = 2.5 is the best cut."""
    scores = np.concatenate([[10.0, 9.5, 0.5, 0.4], [9.0] * 4, np.full(96, 0.6)])
    scores[4:8] = [10.5, 9.9, 9.8, 9.7]
    best = max_sic(roc(scores, np.arange(104) < 4), min_background=4)
    assert best.value == pytest.approx(2.5)


def test_reach_needs_more_than_luck():
    labels = np.arange(2000) < 1000
    rng = np.random.default_rng(1)
    noise = roc(rng.random(2000), labels)
    good = roc(labels + rng.normal(0, 0.5, 2000), labels)
    noise, good = (
        InjectionResult(curve, max_sic(curve, min_background=10).value, History(), 1, 1)
        for curve in (noise, good)
    )
    config = InjectionSettings(100, 100, injections=(0, 10, 20), compare=ComparisonSettings(seeds=(1,)))
    tuned = {0: noise, 10: noise, 20: good}
    points = {n: Comparison({"scratch": (noise,), "finetuned": (run,)}, (1,)) for n, run in tuned.items()}
    scan = InjectionScan(config, points, random_sic(labels))
    assert scan.reach("scratch") is None and scan.reach("finetuned") == 20
    assert str(scan).splitlines()[1] == "fine-tuned: first clear gain at 20 events, S/sqrt(B) = 2.0"


def test_reach_must_beat_the_same_training_without_signal():
    labels = np.arange(2000) < 1000
    rng = np.random.default_rng(1)
    curve = roc(labels + rng.normal(0, 2, 2000), labels)
    useful = InjectionResult(curve, max_sic(curve, min_background=10).value, History(), 1, 1)
    config = InjectionSettings(100, 100, injections=(0, 10), compare=ComparisonSettings(seeds=(1,)))
    points = {n: Comparison({"scratch": (useful,), "finetuned": (useful,)}, (1,)) for n in (0, 10)}
    with_null = InjectionScan(config, points, random_sic(labels))
    without = InjectionScan(config, {10: points[10]}, random_sic(labels))
    assert without.reach("finetuned") == 10 and with_null.reach("finetuned") is None


def test_random_scores_gain_by_luck_only_and_less_with_more_events():
    few, many = (random_sic(np.arange(2 * n) < n) for n in (100, 5000))
    assert 1 <= many.mean < few.mean < 2


def test_too_few_events_are_named(config):
    with pytest.raises(JetsError, match="90 background events.*uses 80 for training"):
        scan_injections(dijets(90), dijets(60), config)
    with pytest.raises(JetsError, match="30 signal events.*uses 20"):
        scan_injections(dijets(140), dijets(30), config)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"injections": ()}, "at least 1"),
        ({"injections": (-1,)}, "injections is -1"),
        ({"injections": (5, 5)}, "only once"),
        ({"n_reference": 3}, "n_reference is 3"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        InjectionSettings(**settings)
