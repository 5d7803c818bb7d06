"""All ways of unfolding beside each other, on a few synthetic jets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.jets import PairedJets
from omnilearn_lab.tasks.common.comparison import ComparisonSettings
from omnilearn_lab.tasks.reweighting.ratios import RatioConfig
from omnilearn_lab.tasks.reweighting.reweighter import observable_edges
from omnilearn_lab.tasks.reweighting.samples import with_acceptance
from omnilearn_lab.tasks.unfolding.comparison import (
    UnfoldingMethods,
    compare_unfoldings,
    distance_to_truth,
    table_of,
)
from omnilearn_lab.training import TrainConfig
from tests.tasks.small_clouds import clouds

FAST = TrainConfig(epochs=0.5, batch_size=32, learning_rate=1e-3, validations_per_epoch=1)
CLOUDS = ComparisonSettings(seeds=(1,), scratch=FAST, finetuned=replace(FAST, body_lr_factor=0.1))


@pytest.fixture(scope="module")
def unfolded():
    pairs = [PairedJets(clouds(90, s, seed=i), clouds(90, s + 0.2, seed=i)) for i, s in ((1, 2.0), (2, 2.5))]
    tables = RatioConfig(network="mlp", hidden=(8,), training=FAST)
    methods = UnfoldingMethods(1, CLOUDS, 0.5, tables, 0.5, n_bootstrap=2, n_particle_events=70)
    simulation, data = (with_acceptance(p, 60.0) for p in pairs)
    other = with_acceptance(PairedJets(clouds(50, 2.5, seed=5), clouds(50, 2.5, seed=5)), 60.0)
    return compare_unfoldings(simulation, data, methods, truth=other, edges=observable_edges(5), workers=1)


def test_every_method_has_a_distance(unfolded):
    titles = ["IBU", "UniFold", "MultiFold", "OmniFold, scratch", "OmniFold, fine-tuned"]
    titles.append("OmniFold, frozen body")
    assert list(unfolded.by_observable()) == titles
    table = unfolded.table()
    assert list(table.index) == ["m", "N", "w", "ln ρ", "τ₂₁", "z_g", "simulated events"]
    assert list(table.columns) == ["before", *titles, "floor", "floor, 70 events"]
    for method in ("IBU", *unfolded.methods):
        assert all(np.isfinite(unfolded.spread(method, name).mean) for name in unfolded.edges)
    assert len(unfolded.truth["mass"]) <= 50  # the other events, not those that were unfolded
    assert unfolded.no_worse("IBU") == list(unfolded.edges)
    before, floor, higher = unfolded.levels().values()
    assert before["mass"] == unfolded.before("mass").value
    assert all(higher[name] > floor[name] for name in floor), "networks on particles had fewer events"
    counts = [int(line.rsplit(" ", 1)[1]) for line in unfolded.judged().splitlines()]
    assert sum(counts) == 6 and len(counts) == 6
    assert unfolded.by_iteration(["mass"]).shape == (5, 1)


def test_unfolding_record_and_explorer(unfolded):
    record = unfolded.record()
    assert set(record.metrics["mass"]) == {"scratch", "finetuned", "frozen", "UniFold", "MultiFold", "IBU"}
    assert record.metrics["mass"]["IBU"] == [pytest.approx(unfolded.spread("IBU", "mass").mean)]
    data = unfolded.explorer()
    n = len(data["prior"]["mass"])
    assert (
        data["weights"]["UniFold"]["width"].shape == data["weights"]["MultiFold"]["mass"].shape == (1, 1, n)
    )
    assert data["binned"]["IBU"]["mass"].shape == (1, 5)


def test_networks_on_particles_get_the_first_events_only(unfolded):
    assert list(unfolded.n_events().values()) == [90, 90, 90, 70, 70, 90]
    assert list(unfolded.table().loc["simulated events"][1:-2]) == ["90", "90", "90", "70", "70", "90"]
    for arm, n in (("scratch", 70), ("finetuned", 70), ("frozen", 90)):
        result = unfolded.result(arm)
        assert len(result) == 90
        weights = result.particle_weights()
        assert (weights[:n][result.pass_truth[:n]] > 0).all() and (weights[n:] == 0).all()
    # the data of 70 events, not of 90, are what those weights sum to
    assert unfolded.result("scratch").detector_weights().sum() == pytest.approx(70, abs=3)
    assert unfolded.result("frozen").detector_weights().sum() == pytest.approx(90, abs=3)


def test_rows_of_the_frozen_body_hold_the_six_observables(unfolded):
    (simulation, seen), (tables, table) = unfolded.problem.embedded, unfolded.problem.tables
    np.testing.assert_array_equal(simulation.truth[:, -6:], tables.truth)
    np.testing.assert_array_equal(seen[:, -6:], table)
    assert seen.shape[1] > 6 + 6


def test_spread_holds_seeds_and_bootstrap(unfolded):
    run = unfolded.trained.of("frozen")[0]
    repeated = run.repetitions["mass"]
    assert len(repeated) == 2 and repeated[0] != repeated[1]
    assert unfolded.spread("frozen", "mass").std == pytest.approx(np.std(repeated, ddof=1))
    assert unfolded.spread("frozen", "mass").mean == run.distances["mass"]
    assert np.isnan(unfolded.spread("scratch", "mass").std)  # one seed, no repetitions


def test_distance_of_any_quantity():
    rng = np.random.default_rng(0)
    truth, values = rng.normal(0.3, 1, 5000), rng.normal(0, 1, 5000)
    distance = distance_to_truth(truth, values, np.exp(0.3 * values))
    assert distance.after < 3 * distance.floor < distance.before


def test_ungroomed_jets_keep_a_place_in_tables():
    table = table_of(clouds(50, 0.01))
    assert np.isfinite(table).all()
    assert table.shape == (50, 6)


def test_only_the_first_seed_of_multifold_has_repetitions(unfolded):
    assert len(unfolded.result("MultiFold").bootstrap) == len(unfolded.result("frozen").bootstrap) == 2
    assert len(unfolded.result("UniFold").bootstrap) == len(unfolded.result("scratch").bootstrap) == 0


def test_methods_can_be_left_out():
    assert list(UnfoldingMethods(names=("frozen", "MultiFold")).arms()) == ["frozen", "MultiFold"]
    assert "frozen" not in UnfoldingMethods(frozen=None).arms()
    with pytest.raises(ConfigError, match="did you mean 'MultiFold'"):
        UnfoldingMethods(names=("Multifold",))
