"""Recipes: names, classes, digests, and settings that must not be forgotten."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace

import pytest
from omnilearn_lab.errors import SimulationError
from omnilearn_lab.simulation import RECIPES, recipe
from omnilearn_lab.simulation.cards import CARDS
from omnilearn_lab.simulation.recipes import Profile, Recipe, Sample
from omnilearn_lab.simulation.selectors import SELECTORS

EXPECTED_CLASSES = {
    "jetclass": ("QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl"),
    "top_tagging": ("qcd", "top"),
    "quark_gluon": ("gluon", "quark"),
    "jetnet30": ("g", "q", "t", "w", "z"),
    "lhco": ("background", "signal"),
    "atlas_top": ("qcd", "top"),
    "atlas_flavour": ("light", "c", "b", "tau"),
    "omnifold_zjets": ("simulation", "data"),
}


def test_unknown_name_gives_the_nearest():
    with pytest.raises(SimulationError, match="no recipe 'jetclas'.*did you mean 'jetclass'"):
        recipe("jetclas")


def test_unknown_profile_gives_the_nearest():
    with pytest.raises(SimulationError, match="did you mean 'quick'"):
        recipe("jetclass", profile="quik")


@pytest.mark.parametrize(("name", "classes"), EXPECTED_CLASSES.items())
def test_class_order_is_that_of_the_published_labels(name, classes):
    assert recipe(name).class_names == classes


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_is_consistent(name):
    chosen = recipe(name)
    assert chosen.name == name and chosen.title and chosen.reference
    assert chosen.selector in SELECTORS and (not chosen.detector or chosen.detector in CARDS)
    sample_names = [sample.name for sample in chosen.samples]
    assert len(set(sample_names)) == len(sample_names)
    assert len({s.fraction > 0 for s in chosen.samples}) == 1
    json.dumps(asdict(chosen))  # settings only


@pytest.mark.parametrize("name", [n for n, r in RECIPES.items() if r.detector])
@pytest.mark.parametrize("profile", ["quick", "production"])
def test_no_long_lived_particle_decays_outside_the_detector_but_in_jetclass(name, profile):
    chosen = recipe(name, profile=profile)
    settings = " ".join((*chosen.settings, *chosen.active.settings))
    as_published = chosen.detector == "JetClass-like" and profile == "production"  # loses what decays late
    assert ("limitTau0=on" in settings or "limitCylinder=on" in settings) != as_published


@pytest.mark.parametrize("name", RECIPES)
def test_leptonic_w_of_one_sign_alternates(name):
    for sample in recipe(name).samples:
        texts = [*sample.settings, *recipe(name).settings]
        assert not any("PosIf" in text or "NegIf" in text for text in texts), (
            "one charge would tell the class"
        )
        signs = ["24:onPosIfAny=11 13" in variant for variant in sample.variants]
        assert len(signs) == 1 or sum(signs) * 2 == len(signs)


def test_digests_differ_between_recipes_and_profiles():
    digests = {recipe(name, profile=p).digest() for name in RECIPES for p in ("quick", "production")}
    n_same = sum(r.quick == r.production for r in RECIPES.values())
    assert len(digests) == 2 * len(RECIPES)  # the name of the profile counts, too
    assert n_same == 4


@pytest.mark.parametrize(
    "change",
    [
        {"settings": ("Beams:eCM=1.",)},
        {"detector": "full-like"},
        {"max_constituents": 3},
        {"version": "2"},
        {"quick": Profile(min_pt=2.0)},
        {"samples": (Sample("a", ()),)},
    ],
)
def test_digest_changes_with_the_physics(change):
    assert replace(recipe("jetclass"), **change).digest() != recipe("jetclass").digest()


def test_digest_changes_with_the_numbers_of_the_detector_card(monkeypatch):
    before = recipe("jetclass").digest()
    changed = replace(CARDS["JetClass-like"], field=2.0)
    monkeypatch.setitem(sys.modules[Recipe.__module__].__dict__, "CARDS", {changed.name: changed})
    assert recipe("jetclass").digest() != before


@pytest.mark.parametrize(
    "change", [{"title": "other"}, {"published": ()}, {"production": Profile(min_pt=7.0)}]
)
def test_digest_ignores_what_does_not_change_the_jets(change):
    assert replace(recipe("jetclass"), **change).digest() == recipe("jetclass").digest()
