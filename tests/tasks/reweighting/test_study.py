"""Studies over seeds and generators, on a few synthetic or simulated jets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.notebook import notebook_profile
from omnilearn_lab.observables import observables
from omnilearn_lab.simulation import PairedJets
from omnilearn_lab.tasks.reweighting.distances import observable_edges
from omnilearn_lab.tasks.reweighting.ratios import RatioConfig
from omnilearn_lab.tasks.reweighting.study import (
    CompareRatios,
    RatioCheck,
    ReweightingProfile,
    check_known_ratio,
    compare_reweighting,
    ratio_curves,
)
from omnilearn_lab.tasks.reweighting.two_generators import tilt, with_acceptance
from omnilearn_lab.tasks.unfolding.dis import BREIT_EDGES, unfold_dis
from omnilearn_lab.tasks.unfolding.study import (
    METHODS,
    CompareUnfoldings,
    UnfoldingProfile,
    compare_unfoldings,
    distance_to_truth,
    table_of,
)
from omnilearn_lab.training import TrainConfig
from tests.tasks.small_clouds import clouds

FAST = TrainConfig(epochs=0.5, batch_size=32, learning_rate=1e-3, validations_per_epoch=1)
CONFIG = CompareRatios(seeds=(1, 2), scratch=FAST, finetuned=replace(FAST, body_lr_factor=0.1))


@pytest.fixture(scope="module")
def comparison():
    train, test = ((clouds(80, 2.0, seed=s), clouds(80, 2.6, seed=s + 1)) for s in (1, 3))
    return compare_reweighting(train, test, CONFIG, edges=observable_edges(5), workers=1)


def test_comparison_holds_every_seed(comparison):
    assert comparison.n_train == 160
    assert {name: w.shape for name, w in comparison.weights().items()} == {
        "scratch": (2, 80),
        "fine-tuned": (2, 80),
    }
    assert (
        len(comparison.values("scratch", "mass")) == len(comparison.values("finetuned", "best_val_loss")) == 2
    )
    assert list(comparison.table().columns) == ["before", "scratch", "fine-tuned", "bootstrap", "floor"]
    before = comparison.scratch[0].distances["mass"].before.value
    assert ("mass" in comparison.improved("scratch")) == (comparison.spread("scratch", "mass").mean < before)


def test_record_fits_the_schema(comparison):
    record = comparison.record()
    assert record.seeds == [1, 2]
    assert set(record.metrics) >= {"mass", "best_val_loss"}
    assert "mass" in record.smaller_is_better
    assert "effective_fraction" not in record.metrics
    assert record.gains["mass"].n == 2


def test_budgets_must_agree():
    with pytest.raises(ConfigError, match="epochs is"):
        CompareRatios(scratch=FAST, finetuned=replace(FAST, epochs=3))
    with pytest.raises(ConfigError, match="seeds are"):
        CompareRatios(seeds=())
    with pytest.raises(ConfigError, match="did you mean 'finetuned'"):
        CONFIG.ratio("fine-tuned")


def test_tilt_has_the_ratio_it_says():
    """The tilted target has the source's mean, weighted by the ratio."""
    jets = clouds(4000, 2.5)
    tilted = tilt(jets, "width", strength=2.0)
    source, target = (observables(part, ["width"])["width"] for part in (tilted.source, tilted.target))
    error = target.std() / np.sqrt(len(target)) + source.std() / np.sqrt(len(source))
    weighted = np.average(source, weights=np.exp(tilted.log_ratio))
    assert abs(weighted - target.mean()) < 3 * error < abs(source.mean() - target.mean())
    assert np.exp(tilted.log_ratio).mean() == pytest.approx(1, abs=0.05)
    with pytest.raises(JetsError, match="at least four jets"):
        tilt(jets[:3])


def test_known_ratio_check():
    tilted = tilt(clouds(120, 2.5))
    check = check_known_ratio(tilted, {"scratch": RatioConfig(training=FAST)}, workers=1)["scratch"]
    assert len(check.learnt) == len(check.true) == 24
    perfect = RatioCheck(check.true, check.true)
    assert perfect.error == 0
    assert perfect.correlation == pytest.approx(1)
    curves = ratio_curves({"perfect": perfect}, n_bins=4)
    np.testing.assert_allclose(curves["perfect"][1], curves["ideal"][1])


@pytest.fixture(scope="module")
def unfolded():
    pairs = [PairedJets(clouds(90, s, seed=i), clouds(90, s + 0.2, seed=i)) for i, s in ((1, 2.0), (2, 2.5))]
    tables = RatioConfig(network="mlp", hidden=(8,), training=FAST)
    config = CompareUnfoldings(1, replace(CONFIG, seeds=(1,)), 0.5, tables, 0.5, n_bootstrap=2)
    simulation, data = (with_acceptance(p, 60.0) for p in pairs)
    other = with_acceptance(PairedJets(clouds(50, 2.5, seed=5), clouds(50, 2.5, seed=5)), 60.0)
    return compare_unfoldings(simulation, data, config, truth=other, edges=observable_edges(5), workers=1)


def test_every_method_has_a_distance(unfolded):
    assert set(unfolded.by_observable()) == set(METHODS)
    table = unfolded.table()
    assert list(table.index) == list(observable_edges())
    for method in METHODS:
        assert all(np.isfinite(unfolded.spread(method, name).mean) for name in unfolded.edges)
    assert len(unfolded.truth["mass"]) <= 50  # the other events, not those that were unfolded
    assert unfolded.no_worse("IBU") == list(unfolded.edges)
    assert unfolded.by_iteration(["mass"]).shape == (4, 1)


def test_unfolding_record_and_explorer(unfolded):
    record = unfolded.record()
    assert set(record.metrics["mass"]) == {"scratch", "finetuned", "UniFold", "MultiFold"}
    data = unfolded.explorer()
    n = len(data["prior"]["mass"])
    assert (
        data["weights"]["UniFold"]["width"].shape == data["weights"]["MultiFold"]["mass"].shape == (1, 1, n)
    )
    assert data["binned"]["IBU"]["mass"].shape == (1, 5)


def test_distance_of_any_quantity():
    rng = np.random.default_rng(0)
    truth, values = rng.normal(0.3, 1, 5000), rng.normal(0, 1, 5000)
    before, after, floor = distance_to_truth(truth, values, np.exp(0.3 * values))
    assert after < 3 * floor < before


def test_ungroomed_jets_keep_a_place_in_tables():
    table = table_of(clouds(50, 0.01))
    assert np.isfinite(table).all()
    assert table.shape == (50, 6)


def test_breit_frame_study():
    study = unfold_dis(80, FAST, n_iterations=1)
    assert len(study.result) == 80
    assert set(study.distances()) == set(study.truth) == set(BREIT_EDGES)
    assert list(study.table().columns) == ["before", "unfolded", "floor"]


@pytest.mark.parametrize("profile", ["smoke", "quick", "full"])
def test_profiles_can_be_read(profile):
    assert notebook_profile("08_reweight", profile, ReweightingProfile).compare.seeds
    unfolding = notebook_profile("09_unfold", profile, UnfoldingProfile)
    assert unfolding.compare.cloud("finetuned", 1).n_iterations == unfolding.compare.n_iterations
    if profile == "quick":
        assert len(unfolding.compare.clouds.seeds) >= 3
