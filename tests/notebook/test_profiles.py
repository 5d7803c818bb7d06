"""Profiles of the notebooks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from omnilearn_lab.catalog import LoadOptions
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.notebook import load_splits, notebook_profile, profiles
from omnilearn_lab.notebook.execute import find_notebooks
from omnilearn_lab.notebook.profiles import PretrainingProfile, ReweightingProfile, TaggingProfile
from omnilearn_lab.published import published_results
from omnilearn_lab.settings import from_mapping
from omnilearn_lab.tasks.common.comparison import finite
from tests.conftest import random_jets

FOLDER = Path(__file__).parents[2] / "notebooks"


@pytest.mark.parametrize("profile", ["smoke", "quick", "long", "full"])
def test_every_profile_is_complete(profile):
    settings = notebook_profile("03_finetune_top", profile)
    assert settings.n_train > 0
    assert len(settings.compare.seeds) >= 2


@pytest.mark.parametrize("name", [name for name in find_notebooks(FOLDER) if "02" <= name < "14"])
def test_long_is_quick_with_more_of_everything(name):
    quick, long, full = (notebook_profile(name, profile) for profile in ("quick", "long", "full"))
    assert type(long) is type(quick)
    quick, long, full = (dict(sizes(finite(profile))) for profile in (quick, long, full))
    assert sum(long[key] > quick[key] for key in long.keys() & quick.keys()) >= 1
    assert all(long[key] >= quick[key] for key in long.keys() & quick.keys())
    assert all(long[key] <= full[key] for key in long.keys() & full.keys() if key.endswith("n_train"))
    text = (FOLDER.parent / "omnilearn_lab" / "notebook" / "profiles" / f"{name}.yaml").read_text()
    assert "source: simulated" in text.partition("\nlong:")[2].partition("\nfull:")[0]


def sizes(settings, prefix=""):
    """All numbers of jets or events in a profile."""
    counted = {"n_train", "n_test", "n_validation", "n_events", "n_truth", "n_data", "n_window", "n_jets"}
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from sizes(value, f"{prefix}{key}.")
        elif key in counted and value is not None:
            yield prefix + key, value


def test_unknown_notebook_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean '03_finetune_top'"):
        notebook_profile("03_finetun_top", "quick")


def test_unknown_profile_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'quick'"):
        notebook_profile("03_finetune_top", "quik")


def test_own_file_changes_single_settings(tmp_path, monkeypatch):
    packaged = notebook_profile("03_finetune_top", "quick")
    (tmp_path / "03_finetune_top.yaml").write_text("quick: {n_train: 7, compare: {scratch: {epochs: 9}}}")
    monkeypatch.setenv("OMNILEARN_LAB_PROFILES", str(tmp_path))
    with pytest.raises(
        ConfigError, match=r"03_finetune_top.yaml', profile 'quick': .*epochs is 9"
    ):  # equal budgets also for own settings
        notebook_profile("03_finetune_top", "quick")
    changes = "quick: {n_train: 7, compare: {scratch: {epochs: 9}, finetuned: {epochs: 9}}, curve: {5: 1}}"
    (tmp_path / "03_finetune_top.yaml").write_text(changes)
    changed = notebook_profile("03_finetune_top", "quick")
    assert (changed.n_train, changed.compare.scratch.epochs) == (7, 9)
    assert changed.n_test == packaged.n_test
    assert changed.curve == {5: 1}  # a table of sizes is replaced, not merged
    assert changed.compare.scratch.learning_rate == packaged.compare.scratch.learning_rate
    assert notebook_profile("03_finetune_top", "smoke").n_train != 7


@pytest.mark.parametrize(
    "text", ["[1, 2]", "quick: 5", "quick: [a]", "a: &a [*a]", "{" * 3000, "quick: {n_train: {}}"]
)
def test_an_own_file_that_is_anything_is_an_error_of_ours(tmp_path, monkeypatch, text):
    (tmp_path / "03_finetune_top.yaml").write_text(text)
    monkeypatch.setenv("OMNILEARN_LAB_PROFILES", str(tmp_path))
    if text.startswith("a:"):
        with pytest.raises(ConfigError, match="fewer references"):
            notebook_profile("03_finetune_top", "quick")
        return
    with pytest.raises(ConfigError):
        notebook_profile("03_finetune_top", "quick")


STUDY = {"source": "simulated", "n_train": 30, "n_validation": 20, "n_test": 10}
STUDIES = (
    "07_generate_jets",
    "08_reweight",
    "09_unfold",
    "10_anomaly_weak_supervision",
    "13_anomaly_open_data",
)


@pytest.fixture
def asked(monkeypatch):
    """What was asked of the catalogue, which answers with random jets that have weights."""
    calls = []

    def load(name, split, *, source, max_jets, seed, options: LoadOptions):
        calls.append((name, split, source, max_jets, seed, options.variant, options.max_particles))
        jets = random_jets(max_jets)
        return jets.with_jet(weight=jets.jet["pt"])

    monkeypatch.setattr(profiles, "load", load)
    return calls


def test_splits_come_with_their_sizes_and_other_variants(asked):
    profile = TaggingProfile(**STUDY, others=("herwig",), n_other=5, max_particles=7)
    jets = load_splits("quark_gluon", profile, seed=3)
    assert {name: len(part) for name, part in jets.items()} == {
        "train": 30,
        "val": 20,
        "test": 10,
        "herwig": 5,
    }
    assert asked[0] == ("quark_gluon", "train", "simulated", 30, 3, None, 7)
    assert asked[-1] == ("quark_gluon", "test", "simulated", 5, 3, "herwig", 7)
    assert all("weight" in part.jet for part in jets.values())


def test_columns_are_left_out_where_a_study_does_not_use_them(asked):
    jets = load_splits("cms_open_data", TaggingProfile(**STUDY, hidden=("weight", "pid")))
    assert not any("weight" in part.jet or "pid" in part.particles for part in jets.values())
    assert "charge" in jets["train"].particles
    assert jets["train"].class_names and jets["train"].provenance


@pytest.mark.parametrize("profile", ["smoke", "quick", "full"])
@pytest.mark.parametrize(
    "name", ["04_finetune_quark_gluon", "05_transfer_to_full_simulation", "06_transfer_to_dis"]
)
def test_profiles_fit_their_notebooks(name, profile):
    found = notebook_profile(name, profile)
    studies = [found] if isinstance(found, TaggingProfile) else [found.cms, found.atlas]
    for study in studies:
        assert study.source == ("published" if profile == "full" else "simulated")
        assert len(study.compare.seeds) >= (1 if profile == "smoke" else 3)
        assert all(
            network.signal_efficiencies == study.compare.signal_efficiencies
            for network in study.networks.values()
        )
        assert all(n_train <= study.n_train for n_train in study.curve)


def test_profiles_measure_what_the_published_tables_quote():
    tables = {"04_finetune_quark_gluon": "quark_gluon", "06_transfer_to_dis": "h1"}
    for notebook, table in tables.items():
        compare = notebook_profile(notebook, "quick").compare
        assert {f"rejection_at_{e:g}" for e in compare.signal_efficiencies} < set(
            published_results(table).metrics
        )
    both = notebook_profile("05_transfer_to_full_simulation", "quick")
    for study, table in ((both.cms, "cms_quark_gluon"), (both.atlas, "atlas_top")):
        asked = {f"rejection_at_{e:g}" for e in study.compare.signal_efficiencies}
        assert asked < set(published_results(table).metrics)


def test_unknown_settings_of_a_baseline_are_refused():
    baseline = {"name": "PFN", "settings": {"n_classes": 2, "netwrk": "pfn"}}
    with pytest.raises(ConfigError, match="network"):
        from_mapping(TaggingProfile, STUDY | {"baselines": [baseline]})


@pytest.mark.parametrize("profile", ["smoke", "quick", "full"])
@pytest.mark.parametrize("name", STUDIES)
def test_profiles_can_be_read(name, profile):
    settings = notebook_profile(name, profile)
    assert settings.source == ("published" if profile == "full" else "simulated")


def test_seeds_of_the_comparisons():
    read = {n: notebook_profile(n, "quick") for n in STUDIES}
    seeds = (
        read["07_generate_jets"].jetnet30.generators.compare.seeds,
        read["08_reweight"].compare.seeds,
        read["09_unfold"].methods.clouds.seeds,
        read["10_anomaly_weak_supervision"].scan.compare.seeds,
        read["13_anomaly_open_data"].search.compare.seeds,
    )
    assert all(len(found) >= 3 for found in seeds)
    assert read["07_generate_jets"].published_sampler.n_evaluations == 600


def test_sizes_are_checked():
    with pytest.raises(ConfigError, match="n_train is 0"):
        from_mapping(ReweightingProfile, {"source": "simulated", "n_train": 0, "n_test": 5})
    with pytest.raises(ConfigError, match="did you mean 'simulated'"):
        from_mapping(ReweightingProfile, {"source": "simulate", "n_train": 5, "n_test": 5})


def test_no_size_is_refused():
    with pytest.raises(ConfigError, match="at least 1 item"):
        PretrainingProfile(sizes=())


def test_scratch_has_the_sizes_of_the_pretrained_networks():
    settings = PretrainingProfile().classifiers({"a": "tiny", "finetuned": "tiny"})
    assert list(settings) == ["scratch", "a", "finetuned"]
    assert settings["scratch"].like == "tiny"
    assert settings["scratch"].init == "scratch"
    assert settings["a"].training.body_lr_factor == 0.1


@pytest.mark.parametrize("profile", ["smoke", "quick", "full"])
def test_profiles_of_the_notebook(profile):
    settings = notebook_profile("11_omnilearned", profile)
    assert settings.ablation.classifiers(10)
    known = {"QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl", "data"}
    assert all(set(names) <= known and len(names) > 1 for names in settings.classes.subsets.values())
    if profile != "smoke":
        assert min(len(settings.ablation.seeds), len(settings.classes.seeds), len(settings.table.seeds)) >= 3
    assert replace(settings.ablation.training, seed=2).seed == 2


def test_taggers_share_settings_and_differ_in_network_and_origins():
    settings = notebook_profile("12_flavour_tagging", "smoke")
    taggers = settings.taggers(has_checkpoint=True)
    assert [name for name, tagger in taggers.items() if tagger.init != "scratch"] == [
        "PET v2 fine-tuned + origins"
    ]
    assert [name for name, tagger in taggers.items() if not tagger.origins] == ["PET v2", "GN2-like"]
    assert len(settings.taggers(has_checkpoint=False)) == len(taggers) - 1


@pytest.mark.parametrize("profile", ["smoke", "quick", "long", "full"])
def test_every_set_of_classes_gets_its_jets(profile):
    settings = notebook_profile("11_omnilearned", profile)
    for names in settings.classes.subsets.values():
        share = -(-settings.classes.n_pretrain // len(names))
        there = {name: settings.n_data if name == "data" else settings.n_train // 10 for name in names}
        assert sum(min(share, n) for n in there.values()) >= settings.classes.n_pretrain
