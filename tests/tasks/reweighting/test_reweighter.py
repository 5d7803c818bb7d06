"""Reweighting: a known ratio, closure, clipped ratios, seeds compared, saving, bad input."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
from omnilearn_lab.display import label
from omnilearn_lab.errors import CheckpointError, ConfigError, JetsError
from omnilearn_lab.jets import Jets
from omnilearn_lab.observables import observables
from omnilearn_lab.tasks.common.comparison import ComparisonSettings
from omnilearn_lab.tasks.reweighting.ratios import RatioConfig
from omnilearn_lab.tasks.reweighting.reweighter import (
    Reweighter,
    compare_reweighting,
    distance_changes,
    distance_table,
    improved,
    observable_edges,
    reweight,
)
from omnilearn_lab.training import TrainConfig
from tests.tasks.small_clouds import clouds

LOGISTIC = RatioConfig(network="logistic")
FAST = TrainConfig(epochs=1, batch_size=50, learning_rate=1e-3, validations_per_epoch=1)


def gaussian(n=5000, mean=0.0, seed=1):
    return np.random.default_rng(seed).normal(mean, 1, n)


def test_known_ratio_on_other_events():
    source, target, other = gaussian(20_000), gaussian(20_000, 0.5, seed=2), gaussian(1000, seed=3)
    weights = Reweighter(LOGISTIC).fit(source, target).predict(other)
    error = np.log(weights) - (0.5 * other - 0.125)
    # three parameters from 2 x 20,000 events: errors of about 0.01 at the centre, 0.03 at two sigma
    assert np.sqrt(np.mean(error**2)) < 0.05


def test_closure():
    """Two samples of one distribution: weights differ from one by statistics only."""
    weights = Reweighter(LOGISTIC).fit(gaussian(), gaussian(seed=2)).predict(gaussian(seed=3))
    assert np.sqrt(np.mean((weights - 1) ** 2)) < 0.1  # sqrt(3 parameters x 2 / 5000 events) is 0.035


def test_source_weights_and_totals():
    source, target = gaussian(), gaussian(mean=0.3, seed=2)
    own = np.random.default_rng(0).uniform(0.5, 1.5, len(source))
    for total, expected in (("source", own.sum()), ("target", 2.0 * len(target))):
        reweighter = Reweighter(LOGISTIC, total=total)
        ratio = reweighter.fit_predict(
            source, target, source_weights=own, target_weights=np.full(len(target), 2.0)
        )
        assert (own * ratio).sum() == pytest.approx(expected)
        assert np.average(source, weights=own * ratio) == pytest.approx(0.3, abs=0.05)


def test_clip_limits_weights():
    source, target = gaussian(2000), gaussian(2000, mean=4.0, seed=2)
    result = reweight(source, target, RatioConfig(network="logistic", clip=1.0))
    assert result.weights.max() / result.weights.min() == pytest.approx(np.exp(2.0))
    assert result.n_clipped > 1000


def test_clipped_ratios_are_counted_and_warned_of(caplog):
    source, target = gaussian(2000), gaussian(2000, mean=2.0, seed=2)
    config = RatioConfig(network="logistic", clip=4.0)
    with caplog.at_level(logging.WARNING):
        result = reweight(source, target, config)
    n_beyond = int((np.abs(Reweighter(config).fit(source, target).logits(source)) > 4).sum())
    assert 0 < n_beyond < 2000 and result.n_clipped == n_beyond
    assert f"{n_beyond} of 2000 ratios are clipped" in caplog.text
    caplog.clear()
    reweight(gaussian(500), gaussian(500, mean=0.1, seed=2), LOGISTIC)
    assert "clipped" not in caplog.text


def test_samples_without_overlap_do_not_look_perfect():
    """All ratios clipped alike would be weights of exactly one, worth every jet."""
    with pytest.raises(JetsError, match="do not overlap: the logits of all 500 source jets"):
        reweight(gaussian(500), gaussian(500, mean=50.0, seed=2), LOGISTIC)
    few = np.append(gaussian(500), gaussian(5, mean=50.0, seed=3))  # five jets of five hundred overlap
    result = reweight(few, gaussian(500, mean=50.0, seed=2), RatioConfig(network="logistic", clip=6.0))
    assert result.n_clipped > 0 and result.effective_sample_size <= 505 - result.n_clipped


def test_result_measures_on_other_events():
    samples, others = (gaussian(), gaussian(mean=0.5, seed=2)), (gaussian(seed=3), gaussian(mean=0.5, seed=4))
    result = reweight(*samples, LOGISTIC, evaluate=others)
    change = result.distances["column 0"]
    assert change.after.value < change.before.value
    assert change.before.value > 10 * change.before.floor
    assert change.after.value < 4 * change.after.floor
    assert result.effective_sample_size < len(result.weights)
    assert result.calibration.expected_calibration_error < 0.03


@pytest.mark.parametrize("network", ["logistic", "mlp", "pet"])
def test_reweighters_are_saved(network, tmp_path):
    if network == "pet":
        source, target = clouds(80, 2.0), clouds(80, 3.0, seed=1)
    else:
        source, target = gaussian(200), gaussian(200, 0.5, seed=2)
    reweighter = Reweighter(RatioConfig(network=network, hidden=(8,), training=FAST), total="target")
    weights = reweighter.fit(source, target).predict(source)
    again = Reweighter.load(reweighter.save(tmp_path / network))
    np.testing.assert_allclose(again.predict(source), weights, rtol=1e-5)
    assert again.config == reweighter.config
    assert again.total == "target"
    probability = again.predict_probability(source)
    assert ((probability > 0) & (probability < 1)).all()


def test_fine_tuning_starts_from_a_checkpoint():
    source, target = clouds(60, 2.0), clouds(60, 3.0, seed=1)
    config = RatioConfig(init="tiny", training=FAST)
    first = Reweighter(config).fit(source, target)
    second = Reweighter(config, start=first).fit(source, target)
    assert first.history.column("loss")[0] == pytest.approx(np.log(2), abs=1e-4)  # weights start at one
    assert second.history.column("loss")[0] == pytest.approx(first.history.best()["loss"], abs=1e-4)


def test_jets_bring_their_weights():
    source, target = clouds(200, 2.0), clouds(200, 2.0, seed=1)
    heavy = source.with_jet(weight=np.where(np.arange(200) < 100, 3.0, 0.0))
    result = reweight(heavy, target, RatioConfig(training=FAST), edges=observable_edges(5))
    assert (result.weights[100:] == 0).all()
    assert result.weights.sum() == pytest.approx(300, rel=1e-5)
    assert set(result.distances) == set(observable_edges())


def test_a_missing_radius_is_noticed_before_training():
    source = clouds(20, 2.0)
    bare = Jets(source.particles, source.offsets, source.jet)
    with pytest.raises(ConfigError, match="radius"):
        reweight(bare, bare, RatioConfig(training=FAST))
    result = reweight(bare, bare, RatioConfig(training=FAST), edges={"mass": np.array([0.0, 20.0, 40.0])})
    assert list(result.distances) == ["mass"]


def test_undefined_observables_count_as_outside():
    samples = (np.array([[0.5], [0.6]]), np.array([[0.5], [9.0]]))
    changes = distance_changes(
        samples, (np.ones(2), np.ones(2)), np.ones(2), edges={"column 0": np.array([0.0, 1.0])}
    )
    assert changes["column 0"].before.outside[0] == 0.5
    with pytest.raises(JetsError, match="edges are given for"):
        distance_changes(samples, (np.ones(2), np.ones(2)), np.ones(2), edges={"mass": np.array([0.0, 1.0])})


def test_bad_input():
    good = gaussian(50)
    for source, weights, message in (
        (np.zeros((0, 1)), None, "source has shape"),
        (np.where(good > 0, np.nan, good), None, "not-a-number"),
        (good, -np.ones(50), "50 of the 50 weights of source are negative"),
        (good, np.zeros(50), "sum to zero"),
        (good, np.ones(49), "one per jet"),
    ):
        with pytest.raises(JetsError, match=message):
            Reweighter(LOGISTIC).fit(source, good, source_weights=weights)
    with pytest.raises(JetsError, match="source holds no jets"):
        Reweighter().fit(clouds(5, 1.0)[:0], clouds(5, 1.0))
    with pytest.raises(ConfigError, match="was not fitted"):
        Reweighter(LOGISTIC).predict(good)
    with pytest.raises(ConfigError, match="total is 'both'"):
        Reweighter(total="both")


def test_missing_folder(tmp_path):
    with pytest.raises(CheckpointError, match="holds no reweighter"):
        Reweighter.load(tmp_path)


SETTINGS = ComparisonSettings(
    seeds=(1, 2),
    scratch=replace(FAST, epochs=0.5, batch_size=32),
    finetuned=replace(FAST, epochs=0.5, batch_size=32, body_lr_factor=0.1),
)


@pytest.fixture(scope="module")
def comparison():
    train, test = ((clouds(100, 2.0, seed=s), clouds(100, 2.6, seed=s + 1)) for s in (1, 3))
    return compare_reweighting(
        train, test, SETTINGS, n_particle_jets=80, edges=observable_edges(5), workers=1
    )


def test_comparison_holds_every_seed(comparison):
    assert comparison.n_train == 160
    assert comparison.seeds == (1, 2)
    trained = [run for kind in ("scratch", "finetuned") for run in comparison.of(kind)]
    assert len({run.history.val_loss[-1] for run in trained}) == 4
    assert all(run.weights.shape == (100,) for runs in comparison.results.values() for run in runs)
    assert len(comparison.values("finetuned", "best_val_loss")) == 2
    table = distance_table(comparison)
    arms = ["scratch", "fine-tuned", "frozen body", "frozen body, 100 jets"]
    assert list(table.columns) == ["before", *arms, "bootstrap", "floor"]
    assert [comparison.of(arm)[0].n_train for arm in ("frozen", "frozen body, 100 jets")] == [160, 200]
    assert list(table.index) == [label(name) for name in comparison.of("scratch")[0].distances]
    before = comparison.of("scratch")[0].distances["mass"].before.value
    is_better = comparison.spread("scratch", "mass").mean < before
    assert ("mass" in improved(comparison.of("scratch"))) == is_better


def test_a_frozen_body_learns_a_ratio_from_its_embeddings(comparison):
    """The source's mean width moves towards the target's."""
    width, wanted = (observables(clouds(100, m, seed=s))["width"] for m, s in ((2.0, 3), (2.6, 4)))
    for run in comparison.of("frozen body, 100 jets"):
        moved = np.average(width, weights=run.weights) - wanted.mean()
        assert not run.history.records and abs(moved) < 0.7 * abs(width.mean() - wanted.mean())


def test_record_fits_the_schema(comparison):
    record = comparison.record()
    assert record.seeds == [1, 2]
    assert set(record.metrics) >= {"mass", "best_val_loss"}
    assert "mass" in record.smaller_is_better
    assert "effective_fraction" not in record.metrics
    assert record.gains["mass"].n == 2
