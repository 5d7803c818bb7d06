"""OmniFold on tables with a known answer: closure, stress, efficiency and fakes, uncertainties, bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError, DataFileError, JetsError
from omnilearn_lab.jets import PairedJets
from omnilearn_lab.tasks.reweighting.ratios import RatioConfig
from omnilearn_lab.tasks.reweighting.samples import PairedSample
from omnilearn_lab.tasks.unfolding.omnifold import OmniFold, OmniFoldConfig, UnfoldingResult, read_weights
from omnilearn_lab.training import TrainConfig
from tests.tasks.small_clouds import clouds

LOGISTIC = OmniFoldConfig(RatioConfig(network="logistic"), n_iterations=5)
SMEARING = 0.5


def events(n=8000, *, seed=1, mean=0.0, width=1.0):
    rng = np.random.default_rng(seed)
    truth = rng.normal(mean, width, n)
    return truth, truth + rng.normal(0, SMEARING, n)


def moments(values, weights):
    mean = np.average(values, weights=weights)
    return mean, np.sqrt(np.average((values - mean) ** 2, weights=weights))


def test_closure_gives_weights_of_one():
    """Data from the simulation's own distribution: weights differ from one by statistics only."""
    simulation, data = PairedSample(*events(seed=1)), events(seed=2)[1]
    result = OmniFold(LOGISTIC).fit(simulation, data)
    weights = result.particle_weights()
    assert abs(np.average(simulation.truth, weights=weights)) < 0.05  # 3 sigma of 2 x 8000 events
    # a few parameters fitted to N events move weights by about sqrt(parameters / N), a few times that in all
    assert np.sqrt(np.mean((weights - 1) ** 2)) < 0.15
    assert weights.sum() == pytest.approx(len(data), rel=1e-6)


def test_closure_is_exact_when_data_are_the_simulation_itself():
    simulation = PairedSample(*events())
    result = OmniFold(LOGISTIC).fit(simulation, simulation.detector)
    np.testing.assert_allclose(result.particle_weights(), 1.0, atol=1e-6)


def test_stress_a_reweighted_truth_is_found():
    """Data are the simulation, resampled by a known function of the truth: weights recover it."""
    rng = np.random.default_rng(5)
    truth, detector = events(20_000)
    hidden, observed = events(20_000, seed=3)
    chosen = rng.random(20_000) < np.exp(-0.5 * (hidden - 0.8) ** 2)
    result = OmniFold(replace(LOGISTIC, n_iterations=8)).fit(PairedSample(truth, detector), observed[chosen])
    weights = result.particle_weights()
    expected = np.exp(-0.5 * (truth - 0.8) ** 2)
    log_error = np.log(weights / weights.sum()) - np.log(expected / expected.sum())
    inside = np.abs(truth) < 1.5
    assert np.sqrt(np.mean(log_error[inside] ** 2)) < 0.12
    prior_error = np.log(expected / expected.mean())[inside]
    assert np.sqrt(np.mean(prior_error**2)) > 0.5


def test_later_iterations_come_closer():
    truth, detector = events(20_000)
    hidden, observed = events(20_000, seed=2, mean=0.5, width=0.8)
    result = OmniFold(replace(LOGISTIC, n_iterations=6)).fit(PairedSample(truth, detector), observed)
    distance = [
        np.abs(np.subtract(moments(truth, result.particle_weights(i)), moments(hidden, None))).max()
        for i in range(6)
    ]
    assert distance[-1] < 0.03 < 0.1 < distance[0]


@pytest.mark.parametrize("acceptance", ["average", "previous"])
def test_efficiency_and_fakes(acceptance):
    rng = np.random.default_rng(9)

    def sample(mean, seed):
        truth, detector = events(30_000, seed=seed, mean=mean)
        seen = rng.random(30_000) < 0.4 + 0.4 * (truth > 0)  # a truth-dependent efficiency
        real = rng.random(30_000) > 0.1
        detector = np.where(real, detector, rng.normal(0.0, 1.5, 30_000))
        return np.where(real, truth, np.nan), np.where(seen, detector, np.nan), real, seen

    truth, detector, real, seen = sample(0.0, 1)
    hidden, observed, real2, seen2 = sample(0.4, 2)
    simulation = PairedSample(truth, detector, pass_truth=real, pass_detector=seen)
    config = replace(LOGISTIC, n_iterations=10, acceptance=acceptance, normalise=False)
    result = OmniFold(config).fit(simulation, observed[seen2])
    weights = result.particle_weights()
    assert (weights[~real] == 0).all()
    mean, width = moments(truth[real], weights[real])
    assert mean == pytest.approx(hidden[real2].mean(), abs=0.05)
    assert width == pytest.approx(hidden[real2].std(), abs=0.05)
    # the total too: seen events divided by the efficiency of the true distribution
    assert weights.sum() == pytest.approx(real2.sum(), rel=0.04)
    assert simulation.efficiency == pytest.approx(0.6, abs=0.02)
    assert simulation.fake_share == pytest.approx(0.1, abs=0.02)


def test_networks_on_two_observables():
    """MultiFold with small networks; an observable never trained on follows."""
    rng = np.random.default_rng(0)
    training = TrainConfig(epochs=4, batch_size=250, learning_rate=2e-3, validations_per_epoch=1)
    config = OmniFoldConfig(
        RatioConfig(network="mlp", hidden=(32,), training=training),
        n_iterations=2,
        later=replace(training, epochs=2),
    )
    truth = rng.normal(0, 1, (4000, 2))
    hidden = rng.normal(0, 1, (4000, 2)) + [0.3, 0.3]
    simulation = PairedSample(truth, truth + rng.normal(0, 0.3, truth.shape))
    unfolding = OmniFold(config)
    result = unfolding.fit(simulation, hidden + rng.normal(0, 0.3, hidden.shape))
    product, expected = truth.prod(axis=1), hidden.prod(axis=1).mean()
    before, after = product.mean(), np.average(product, weights=result.particle_weights())
    assert abs(after - expected) < abs(before - expected)
    fresh = rng.normal(0, 1, (4000, 2))
    weights = unfolding.predict(fresh)
    assert weights.shape == (1, 4000)
    assert np.average(fresh[:, 0], weights=weights[0]) == pytest.approx(0.3, abs=0.12)


def test_ensemble_and_bootstrap(tmp_path):
    truth, detector = events(2000)
    config = replace(LOGISTIC, n_iterations=2, seeds=(1, 2), n_bootstrap=20)
    data = events(2000, seed=3)[1]
    result = OmniFold(config).fit(PairedSample(truth, detector), data)
    assert result.push.shape == result.pull.shape == (2, 2, 2000)
    assert result.bootstrap.shape == (20, 2000)
    histogram = result.histogram(truth, [-2, -1, 0, 1, 2])
    assert (histogram.model == 0).all()  # the polynomial has no random start
    n = histogram.values
    assert ((0.5 * np.sqrt(n) < histogram.statistical) & (histogram.statistical < 4 * np.sqrt(n))).all()
    np.testing.assert_allclose(np.sqrt(np.diag(histogram.covariance)), histogram.statistical)
    np.testing.assert_allclose(histogram.to_hist().variances(), histogram.total**2)
    np.testing.assert_allclose(result.detector_weights().sum(), 2000, rtol=1e-6)
    again = UnfoldingResult.load(result.save(tmp_path / "unfolding.h5"))
    assert again.config == config
    np.testing.assert_array_equal(again.push, result.push)


@pytest.mark.slow
def test_same_result_in_processes():
    simulation, data = PairedSample(*events(500)), events(500, seed=2)[1]
    config = replace(LOGISTIC, n_iterations=1, seeds=(1, 2))
    here = OmniFold(config, workers=1).fit(simulation, data)
    there = OmniFold(config, workers=2).fit(simulation, data)
    np.testing.assert_array_equal(here.push, there.push)


def test_resumes_from_a_run_directory(tmp_path):
    training = TrainConfig(epochs=1, batch_size=100, learning_rate=1e-3)
    config = OmniFoldConfig(RatioConfig(network="mlp", hidden=(8,), training=training), n_iterations=2)
    simulation, data = PairedSample(*events(300)), events(300, seed=2)[1]
    first = OmniFold(config, run_directory=tmp_path).fit(simulation, data)
    steps = sorted(
        path.parent.name for path in tmp_path.glob("member-seed1/iteration-*/step-*/last.safetensors")
    )
    assert steps == ["step-1", "step-1", "step-2", "step-2"]
    again = OmniFold(config, run_directory=tmp_path).fit(simulation, data)
    np.testing.assert_array_equal(first.push, again.push)


def test_clouds_at_both_steps():
    pairs = PairedJets(clouds(120, 2.0), clouds(120, 2.5))
    training = TrainConfig(epochs=0.5, batch_size=32, learning_rate=1e-3, validations_per_epoch=1)
    config = OmniFoldConfig(RatioConfig(training=training), n_iterations=1)
    result = OmniFold(config).fit(pairs, clouds(100, 3.0))
    assert result.push.shape == (1, 1, 120)
    assert np.isfinite(result.push).all()
    with pytest.raises(JetsError, match="None columns and the data 1"):
        OmniFold(config).fit(pairs, np.zeros(5))


def test_exported_weights_speak_for_themselves(tmp_path):
    truth, detector = events(300)
    config = replace(LOGISTIC, n_iterations=1, n_bootstrap=2)
    result = OmniFold(config).fit(PairedSample(truth, detector), events(300, seed=2)[1])
    path = result.export_weights(
        tmp_path / "weights.h5", observables={"mass": truth}, about={"dataset": "toy", "selection": "none"}
    )
    weights = read_weights(path)
    np.testing.assert_allclose(weights.nominal, result.particle_weights())
    np.testing.assert_allclose(weights.bootstrap, result.bootstrap)
    np.testing.assert_array_equal(weights.observables["mass"], truth)
    assert '"dataset": "toy"' in weights.about["about"]
    assert "logistic" in weights.about["config"]
    assert [file.name for file in tmp_path.iterdir()] == ["weights.h5"]
    with pytest.raises(JetsError, match="2 entries; 300 events"):
        result.export_weights(path, observables={"mass": [1.0, 2.0]})
    with pytest.raises(DataFileError, match="no unfolding"):
        UnfoldingResult.load(path)


def test_pairs_must_pair():
    with pytest.raises(JetsError, match="3 events at particle level and 2 at detector level"):
        PairedSample(np.zeros(3), np.zeros(2))
    with pytest.raises(JetsError, match="no simulated event passes both"):
        PairedSample(np.zeros(2), np.zeros(2), pass_truth=[True, False], pass_detector=[False, True])
    with pytest.raises(JetsError, match="bool of shape"):
        PairedSample(np.zeros(2), np.zeros(2), pass_truth=[1, 0])
    with pytest.raises(JetsError, match="detector: 1 of 2 rows hold"):
        PairedSample(np.zeros(2), np.array([0.0, np.nan]))
    with pytest.raises(JetsError, match="negative"):
        PairedSample(np.zeros(2), np.zeros(2), weight=[1.0, -1.0])


def test_bad_data():
    simulation = PairedSample(*events(100))
    for data, weights, message in (
        (np.zeros(0), None, "shape"),
        (np.array([0.0, np.nan]), None, "not-a-number"),
        (np.zeros(3), [0.0, 0.0, 0.0], "sum to zero"),
        (np.zeros(3), [1.0, -1.0, 1.0], "negative"),
        (np.zeros((3, 2)), None, "1 columns and the data 2"),
    ):
        with pytest.raises(JetsError, match=message):
            OmniFold(LOGISTIC).fit(simulation, data, data_weights=weights)


@pytest.mark.parametrize(
    "change",
    [
        {"acceptance": "mean"},
        {"bootstrap": "mc"},
        {"n_iterations": 0},
        {"seeds": (1, 1)},
        {"n_bootstrap": -1},
    ],
)
def test_bad_settings(change):
    with pytest.raises(ConfigError):
        OmniFoldConfig(**change)


def test_nothing_to_predict_with():
    with pytest.raises(ConfigError, match="call fit"):
        OmniFold(LOGISTIC).predict(np.zeros(3))


@pytest.mark.slow
def test_bootstrap_covers_the_truth():
    """Over pseudo-experiments, the error bars of unfolded means hold the truth about 68 % of the time.

    The simulation has ten times the events of the data, so that the data's fluctuations, which the
    bootstrap repeats, are what matters; six iterations leave no visible bias of the method.
    """
    simulation = PairedSample(*events(5000, seed=999))
    config = replace(LOGISTIC, n_iterations=6, n_bootstrap=12)
    pulls = []
    for number in range(60):
        data = events(500, seed=number, mean=0.2)[1]
        result = OmniFold(config).fit(simulation, data)
        means = [np.average(simulation.truth, weights=w) for w in result.bootstrap]
        unfolded = np.average(simulation.truth, weights=result.particle_weights())
        pulls.append((unfolded - 0.2) / np.std(means, ddof=1))
    covered = np.mean(np.abs(pulls) < 1)
    # binomial error of 60 experiments is 0.06; the simulation's own fluctuation adds a common shift
    assert 0.5 < covered < 0.86
    assert 0.7 < np.std(pulls) < 1.4
