"""A whole search on small events: shares kept, hidden signal, control, sculpting, bad input."""

from dataclasses import replace

import numpy as np
import pytest
from omnilearn_lab.errors import JetsError, MetricError
from omnilearn_lab.jets import Jets
from omnilearn_lab.models import PET, PETConfig, save_checkpoint
from omnilearn_lab.tasks.search.decorrelation import Control
from omnilearn_lab.tasks.search.dijet_search import (
    DijetSearchSettings,
    LhcoSamples,
    dijet_control,
    judged_searches,
    sculpting,
    search_dijets,
)
from omnilearn_lab.tasks.search.events import EventNetwork
from omnilearn_lab.tasks.search.mass_fits import MassFit, MassWindow
from omnilearn_lab.tasks.search.sideband_generator import SidebandGeneratorConfig, made_background
from omnilearn_lab.tasks.search.weak_supervision import WeakSupervisionConfig
from omnilearn_lab.training import TrainConfig
from tests.tasks.dijet_events import dijets

WINDOW = MassWindow()


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    save_checkpoint(PET(PETConfig(width=16, n_layers=1, n_heads=2, n_classes=3)), path, card={})
    training = TrainConfig(epochs=1, batch_size=20, learning_rate=2e-3, validations_per_epoch=1)
    weak = WeakSupervisionConfig(EventNetwork(like=str(path), n_jet_layers=1), training=training)
    return DijetSearchSettings(weak, kept=(1.0, 0.5, 0.01), fit=MassFit(n_bins=9))


@pytest.fixture(scope="module")
def samples():
    background = dijets(200, seed=1, mass=(2400, 4900))
    signal = dijets(30, seed=2, wide=0.2, label=1)
    return LhcoSamples(dijets(1), dijets(1, label=1), Jets.concatenate([background, signal]))


def test_shares_are_kept_and_labels_follow(samples, settings):
    search = search_dijets(samples.data(20), dijets(40, seed=3), WINDOW.signal_region, settings, workers=1)
    assert len(search.masses) == 220 and search.labels.sum() == 20
    assert (search.scores > 0.5).mean() == pytest.approx(0.5, abs=0.02)
    inside = (search.masses > 3300) & (search.masses < 3700)
    assert search.hunts[1.0].observed == inside.sum()
    assert search.hunts[0.01] is None and search.significances["0.01"] is None
    assert 0 <= search.curve.auc <= 1


def test_without_a_signal_there_is_no_curve(samples, settings):
    """Nor without labels, as in data."""
    reference = dijets(40, seed=3)
    data = samples.data(0)
    bare = Jets(data.particles, data.offsets, {k: v for k, v in data.jet.items() if k != "label"})
    region = WINDOW.signal_region
    found = [search_dijets(jets, reference, region, settings, workers=1) for jets in (data, bare)]
    assert [search.curve for search in found] == [None, None]
    np.testing.assert_array_equal(found[0].scores, found[1].scores)


def test_more_signal_than_there_is_cannot_be_injected(samples):
    with pytest.raises(JetsError, match="31 signal events to inject, 30 loaded"):
        samples.data(31)


def test_parts_of_the_spectrum(samples):
    assert len(samples.beside(WINDOW, 0)) + len(samples.inside(WINDOW, 0)) == 400
    assert len(samples.inside(WINDOW, 1)) == 60


def test_a_frozen_body_searches_with_borrowed_background_and_the_control_is_flat(samples, settings):
    checkpoint = settings.weak.network.like
    frozen = replace(settings, weak=replace(settings.weak, frozen=checkpoint), kept=(1.0, 0.5))
    data = samples.data(30)
    borrowed = made_background(data, 60, SidebandGeneratorConfig(), fit=frozen.fit)
    search = search_dijets(data, borrowed, WINDOW.signal_region, frozen, workers=1)
    assert search.curve.auc > 0.8 and not search.result.histories[0].records
    background = dijets(900, seed=5, mass=(2400, 4900))
    controls = dijet_control(background, 120, SidebandGeneratorConfig(), frozen, n_experiments=3, workers=1)
    assert set(controls) == {1.0, 0.5} and all(len(one.values) == 3 for one in controls.values())
    assert all(
        one.error >= 1 / np.sqrt(3) for one in controls.values()
    )  # few that agree by chance prove little
    with pytest.raises(JetsError, match="n_experiments is 1"):
        dijet_control(background, 120, SidebandGeneratorConfig(), frozen, n_experiments=1)
    bare = Jets(data.particles, data.offsets, {k: v for k, v in data.jet.items() if k != "event"})
    with pytest.raises(JetsError, match="no column 'event'"):
        search_dijets(bare, borrowed, WINDOW.signal_region, frozen, workers=1)


def test_sculpting_is_seen_and_its_absence_too():
    rng = np.random.default_rng(1)
    mass, edges = rng.random(3000), np.linspace(0, 1, 6)
    assert sculpting(mass, mass + rng.normal(0, 0.3, 3000), 0.1, edges).shape.p_value < 1e-3
    fair = [sculpting(mass, rng.random(3000), 0.1, edges) for _ in range(50)]
    assert 0.3 < np.mean([s.shape.p_value for s in fair]) < 0.7
    assert abs(np.mean([s.correlation for s in fair])) < 4 / np.sqrt(50 * 3000)
    with pytest.raises(MetricError, match="pass and fail"):
        sculpting(mass, mass, 1.0, edges)


def test_a_search_is_judged_by_its_control(samples, settings):
    with_signal, control = (
        search_dijets(samples.data(n), dijets(40, seed=3), WINDOW.signal_region, settings, workers=1)
        for n in (20, 0)
    )
    hunts = {1.0: replace(control.hunts[1.0], significance=3.0)}
    alike, apart = (replace(control, result=_Auc(auc)) for auc in (0.55, 0.7))
    signal = replace(with_signal, hunts=hunts)
    quiet = {1.0: replace(control.hunts[1.0], significance=0.5)}
    assert "1 kept" not in judged_searches({0: alike})
    assert "found" in judged_searches({20: signal, 0: replace(alike, hunts=quiet)}).splitlines()[1]
    assert "no claim" in judged_searches({20: signal, 0: replace(alike, hunts=hunts)}).splitlines()[1]
    flat, bent = ({1.0: Control(np.array(values))} for values in ([0.5, -0.5, 0.1], [2.0, 2.1, 1.9]))
    pair = {20: signal, 0: replace(alike, hunts=quiet)}
    assert judged_searches(pair, flat).endswith("found") and "flat" in judged_searches(pair, flat)
    assert judged_searches(pair, bent).endswith("no claim")
    assert judged_searches(pair, {0.5: flat[1.0]}).endswith("no pseudo-experiments, no claim")
    assert "not the data's background" in judged_searches({0: apart})
    assert "no claim" in judged_searches({20: signal, 0: replace(apart, hunts=quiet)}).splitlines()[1]


class _Auc:
    def __init__(self, auc):
        self.auc = auc
