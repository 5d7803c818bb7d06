"""Stand-ins beside the published data."""

from __future__ import annotations

import pytest
from omnilearn_lab.catalog import MeanCheck, catalog, check_stand_ins
from omnilearn_lab.catalog.stand_ins import StandIn, check_stand_in, stand_ins
from omnilearn_lab.errors import CatalogError, SimulationError
from omnilearn_lab.simulation import RECIPES

H1 = StandIn("h1_dis", "", "h1_dis")


def test_every_recipe_stands_for_a_dataset():
    assert {what.recipe for what in stand_ins()} == set(RECIPES)
    assert {what.dataset for what in stand_ins()} == {name for name in catalog() if catalog()[name].recipe}


@pytest.mark.parametrize(
    ("name", "message"), [("jetclas", "did you mean 'jetclass'"), ("atlas_omnifold", "no stand-in")]
)
def test_unknown_names(name, message):
    with pytest.raises(CatalogError, match=message):
        stand_ins([name])


def test_a_small_sample_is_measured_against_the_published_means():
    found = check_stand_in(H1, 40, seed=1)
    assert found.is_good and found.n_jets == 40 and found.jets_per_second > 0
    assert 0.2 < found.jets_per_event < 1
    means = {mean.observable: mean for mean in found.means}
    assert [means[name].published for name in ("pt", "mass", "multiplicity")] == [19.16, 6.0, 11.73]
    for mean in found.means:  # five standard errors: a unit or a level mixed up is far outside
        assert abs(mean.mean - mean.published) < 5 * mean.error + 0.1 * mean.published


def test_a_failure_is_reported_and_the_others_go_on(monkeypatch):
    def check(what, *_, **__):
        raise SimulationError(f"no jets of {what.recipe}")

    monkeypatch.setattr("omnilearn_lab.catalog.stand_ins.check_stand_in", check)
    found = list(check_stand_ins(["h1_dis", "quark_gluon"]))
    problems = [f"no jets of {name}" for name in ("h1_dis", "quark_gluon", "quark_gluon_herwig")]
    assert [check.problem for check in found] == problems and not any(check.is_good for check in found)


def test_ratio_of_means():
    assert MeanCheck("pt", 110.0, 1.0, 100.0).ratio == pytest.approx(1.1)
    assert MeanCheck("pt", 110.0, 1.0).ratio is None


@pytest.mark.slow
def test_pairs_are_rounded_up_and_variants_have_no_published_means():
    assert check_stand_in(StandIn("lhco", "", "lhco"), 21).n_jets == 22
    variant = check_stand_in(StandIn("quark_gluon", "herwig", "quark_gluon_herwig"), 10)
    assert variant.is_good and all(mean.published is None for mean in variant.means)


@pytest.mark.slow
def test_all_stand_ins_can_be_made_and_jetclass_is_near_the_published_means():
    found = {check.what.recipe: check for check in check_stand_ins(n_jets=200)}
    assert set(found) == set(RECIPES) and all(check.is_good for check in found.values())
    for mean in found["jetclass"].means:  # 5 %, and what chance does to 200 jets
        assert abs(mean.ratio - 1) < 0.05 + 3 * mean.error / mean.published
