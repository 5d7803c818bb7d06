"""Profiles, jets and verdicts of the tagging notebooks."""

import pytest
from omnilearn_lab.catalog import LoadOptions
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.notebook import (
    TaggingProfile,
    TransferProfile,
    jets_saved,
    load_splits,
    metric_lost,
    notebook_profile,
    tagging,
    verdict,
)
from omnilearn_lab.published import published_results
from omnilearn_lab.settings import from_mapping
from omnilearn_lab.tasks.common import ClassifierData, ClassifierSettings, ComparisonRecord, train_classifiers
from omnilearn_lab.training import TrainConfig
from tests.conftest import random_jets
from tests.training.helpers import packed

STUDY = {"source": "simulated", "n_train": 30, "n_validation": 20, "n_test": 10}


def record(**changes):
    values = {"auc": {"scratch": [0.80, 0.82], "finetuned": [0.85, 0.88]}}
    return ComparisonRecord(**{"seeds": [1, 2], "n_train": 100, "metrics": values} | changes)


@pytest.fixture
def asked(monkeypatch):
    """What was asked of the catalogue, which answers with random jets that have weights."""
    calls = []

    def load(name, split, *, source, max_jets, seed, options: LoadOptions):
        calls.append((name, split, source, max_jets, seed, options.variant, options.max_particles))
        jets = random_jets(max_jets)
        return jets.with_jet(weight=jets.jet["pt"])

    monkeypatch.setattr(tagging, "load", load)
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
    ("notebook", "settings"),
    [
        ("04_finetune_quark_gluon", TaggingProfile),
        ("05_transfer_to_full_simulation", TransferProfile),
        ("06_transfer_to_dis", TaggingProfile),
    ],
)
def test_profiles_fit_their_notebooks(notebook, settings, profile):
    found = notebook_profile(notebook, profile, settings)
    studies = [found] if settings is TaggingProfile else [found.cms, found.atlas]
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
        compare = notebook_profile(notebook, "quick", TaggingProfile).compare
        assert {f"rejection_at_{e:g}" for e in compare.signal_efficiencies} < set(
            published_results(table).metrics
        )
    both = notebook_profile("05_transfer_to_full_simulation", "quick", TransferProfile)
    for study, table in ((both.cms, "cms_quark_gluon"), (both.atlas, "atlas_top")):
        asked = {f"rejection_at_{e:g}" for e in study.compare.signal_efficiencies}
        assert asked < set(published_results(table).metrics)


def test_unknown_settings_of_a_baseline_are_refused():
    baseline = {"name": "PFN", "settings": {"n_classes": 2, "netwrk": "pfn"}}
    with pytest.raises(ConfigError, match="network"):
        from_mapping(TaggingProfile, STUDY | {"baselines": [baseline]})


def test_what_is_lost_on_other_jets_is_counted_per_seed():
    others = {"same": packed(32, seed=2), "other": packed(32)}
    data = ClassifierData(packed(32), packed(16, seed=1), packed(32, seed=2), others=others)
    settings = ClassifierSettings(2, network="pfn", training=TrainConfig(epochs=1, batch_size=16))
    runs = train_classifiers(data, {"PFN": settings}, seeds=(1, 2), workers=1, progress=False).of("PFN")
    lost = metric_lost(runs)
    assert lost["same"] == [0, 0]
    assert lost["other"] == [r.metrics.auc - r.others["other"].auc for r in runs]


def test_verdict_follows_the_numbers():
    assert "gain +0.0550 ± 0.0050 (2 seeds): better" in verdict(record(), metrics=["auc"])
    worse = record(metrics={"auc": {"scratch": [0.85, 0.88], "finetuned": [0.80, 0.82]}})
    assert verdict(worse, metrics=["auc"]).endswith("worse")
    same = record(metrics={"auc": {"scratch": [0.80, 0.82], "finetuned": [0.82, 0.80]}})
    assert "within errors" in verdict(same, metrics=["auc"])
    one = record(seeds=[1], metrics={"auc": {"scratch": [0.8], "finetuned": [0.9]}})
    assert "one seed" in verdict(one, metrics=["auc"])


def test_verdict_says_what_was_not_reached_or_only_bounded():
    text = verdict(
        record(speedup_epochs=[None, None], n_lower_limits={"finetuned": {"auc": 1}}),
        metrics=["auc"],
        published_speedup=3,
    )
    assert "reached in 0 of 2 seeds; the paper: 3 times" in text
    assert "1 of 4 values are lower limits" in text


def test_saved_jets_are_read_off_the_scratch_curve():
    sizes = [100, 1000, 10_000]
    saved = jets_saved(sizes, [[0.6, 0.7, 0.8], [0.8, 0.9, 1.0]], [[0.8, 0.85, 0.95]])
    assert saved == {100: 10, 1000: pytest.approx(10**0.5), 10_000: float("inf")}
    assert jets_saved(sizes, [[0.7, 0.8, 0.9]], [[0.7, 0.6, 0.9]]) == {100: 1, 1000: 0, 10_000: 1}
    # a curve that falls counts as its best so far
    assert jets_saved(sizes, [[0.8, 0.7, 0.9]], [[0.85, 0.8, 0.9]])[1000] == pytest.approx(0.1)


def test_verdict_speaks_of_every_arm():
    metrics = {"auc": {"scratch": [0.80, 0.82], "finetuned": [0.85, 0.88], "frozen": [0.70, 0.72]}}
    first, second = verdict(record(metrics=metrics), metrics=["auc"]).splitlines()
    assert "fine-tuned 0.865" in first and first.endswith("better")
    assert "scratch 0.81, frozen body 0.71, gain -0.1" in second and second.endswith("worse")
