"""Boosted trees, ablations, jet classes, transfer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.jets import Jets
from omnilearn_lab.metrics import roc
from omnilearn_lab.observables import SIX, observables
from omnilearn_lab.tasks.common import (
    ClassifierData,
    ClassifierSettings,
    make_model,
    train_classifier,
    train_classifiers,
)
from omnilearn_lab.tasks.tagging import (
    AblationSettings,
    BoostedTreesConfig,
    ablate,
    by_class,
    class_table,
    displaced_particles,
    jets_saved,
    lepton_fraction,
    mean_lost,
    metric_lost,
    train_boosted_trees,
)
from omnilearn_lab.training import TrainConfig
from tests.conftest import random_jets
from tests.training.helpers import packed

QUICK = TrainConfig(epochs=1, batch_size=16, learning_rate=1e-3, validations_per_epoch=1)
MINI = {"width": 16, "n_layers": 1, "n_head_layers": 1, "n_heads": 2, "n_neighbors": 3}
SETTINGS = AblationSettings(
    "tiny",
    {**MINI, "n_species": 9, "n_extra": 4},
    {"complete": {}, "without species": {"n_species": 0}, "one token": {"n_tokens": 1}},
    (1, 2),
    {"width": 16, "n_layers": 1, "n_heads": 2},
    QUICK,
)


def make_data(inputs="pet_v2", **options):
    sizes = {"train": 48, "val": 16, "test": 120}
    jets = {s: random_jets(n, seed=i, mean=8.0, n_classes=3) for i, (s, n) in enumerate(sizes.items())}
    return ClassifierData.from_jets(jets, inputs=inputs, **options)


@pytest.fixture(scope="module")
def data():
    return make_data(use_extra=True)


def test_configurations_differ_in_the_named_ingredient_alone():
    settings = SETTINGS.classifiers(3)
    configs = {name: make_model(chosen).config for name, chosen in settings.items()}
    assert SETTINGS.complete == "complete"
    assert replace(configs["complete"], n_species=0) == configs["without species"]
    assert replace(configs["complete"], n_tokens=1) == configs["one token"]
    assert {c.n_classes for c in configs.values()} == {3} and configs["PET"].width == 16
    assert set(SETTINGS.ingredients) == {"without species", "one token", "PET"}


def test_one_variant_must_be_complete():
    with pytest.raises(ConfigError, match="must change nothing"):
        AblationSettings("tiny", MINI, {"one token": {"n_tokens": 1}}, (1,))


def test_every_variant_and_pet_are_trained_with_every_seed(data):
    comparison = ablate(data, SETTINGS, pet_data=make_data("pet"), workers=1, progress=False)
    assert list(comparison.results) == ["complete", "without species", "one token", "PET"]
    for runs in comparison.results.values():
        assert len(runs) == 2
        assert not np.array_equal(runs[0].probabilities, runs[1].probabilities)
        assert all(run.probabilities.shape == (120, 3) and 0 <= run.metrics.auc <= 1 for run in runs)
    lost = comparison.gains(SETTINGS.ingredients, ["auc"]).loc[("PET", "AUC"), "difference"]
    here, there = (comparison.spread(name, "auc").mean for name in ("complete", "PET"))
    assert lost == pytest.approx(here - there)


def test_ingredient_left_out_is_not_looked_at(data):
    """Without species the probabilities stay the same when the species change; with them they do not."""
    other = replace(data, test=data.test.replace(pid=(data.test.pid + 3) % 9))
    for name in ("complete", "without species"):
        settings = SETTINGS.classifiers(3)[name]
        first, second = (train_classifier(d, settings).probabilities for d in (data, other))
        assert np.allclose(first, second) == (name == "without species")


RADIUS = BoostedTreesConfig(jet_radius=0.4)


def make_jets(n_jets=400, *, seed=0, n_classes=2, weight=None):
    """Jets whose number of particles tells the class: 3 + 2 label, and now and then one more."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, n_classes, n_jets)
    counts = 3 + 2 * label + (rng.random(n_jets) < 0.2)
    total = int(counts.sum())
    cloud = {"pt": rng.uniform(1, 2, total), "energy": np.full(total, 3.0)}
    cloud |= {name: rng.normal(0, 0.1, total) for name in ("deta", "dphi")}
    jet = {"pt": np.full(n_jets, 10.0), "eta": np.zeros(n_jets), "phi": np.zeros(n_jets)}
    jet |= {"mass": np.ones(n_jets), "label": label} | ({} if weight is None else {"weight": weight})
    return Jets.build(cloud, np.concatenate([[0], counts.cumsum()]), jet, provenance={"jet_radius": 0.4})


def splits(train=None, test=None, **options):
    made = {name: make_jets(seed=seed, **options) for seed, name in enumerate(("train", "val", "test"))}
    return made | {name: jets for name, jets in (("train", train), ("test", test)) if jets is not None}


@pytest.mark.parametrize("n_classes", [2, 3])
def test_separable_classes_are_separated(n_classes):
    trees = train_boosted_trees(splits(n_classes=n_classes) | {"others": make_jets(50, n_classes=n_classes)})
    assert trees.probabilities.shape == (400, n_classes)
    assert trees.probabilities.sum(1) == pytest.approx(np.ones(400))
    assert trees.metrics.auc > 0.99 and trees.others["others"].n_jets == 50
    assert trees.values()["best_val_loss"] < 0.1 and trees.n_train == 400


def test_a_weak_signal_is_found_and_not_memorised():
    """Where one observable alone tells the classes apart a little, six do no worse."""
    rng = np.random.default_rng(3)
    jets = {name: make_jets(1500, seed=seed) for seed, name in enumerate(("train", "val", "test"), start=5)}
    for name, some in jets.items():
        chance = 0.4 + 0.2 * (some.counts > 4)
        jets[name] = some.with_jet(label=(rng.random(len(some)) < chance).astype(np.int64))
    test = jets["test"]
    alone = roc(observables(test, list(SIX))["multiplicity"], test.label).auc
    assert 0.54 < alone < 0.64
    assert train_boosted_trees(jets).metrics.auc > alone - 0.01


def test_jets_without_a_groomed_mass_are_allowed():
    """A jet of one particle has ln rho = -inf; trees get 'missing' there."""
    one = Jets.build(
        {"deta": [0.0], "dphi": [0.0], "pt": [10.0], "energy": [10.0]},
        [0, 1],
        {"pt": [10.0], "eta": [0.0], "phi": [0.0], "mass": [0.0], "label": [0]},
    )
    test = Jets.concatenate([make_jets(20), one])
    assert np.isfinite(train_boosted_trees(splits(test=test), RADIUS).probabilities).all()


def test_weights_count_in_training():
    """Jets of class 1 with hardly any weight do not exist for the trees: everything looks like class 0."""
    jets = make_jets(300)
    weighted = jets.with_jet(weight=np.where(jets.jet["label"] == 1, 1e-6, 1.0))
    samples = {"train": weighted, "val": weighted, "test": jets}
    with_weights = train_boosted_trees(samples)
    without = train_boosted_trees(samples, BoostedTreesConfig(use_weights=False))
    assert with_weights.probabilities[:, 1].mean() < 0.1 < without.probabilities[:, 1].mean()


def test_same_jets_same_answer_and_efficiencies_are_those_asked_for():
    config = BoostedTreesConfig(signal_efficiencies=(0.8,))
    first, second = (train_boosted_trees(splits(), config) for _ in "ab")
    assert np.array_equal(first.probabilities, second.probabilities)
    assert [r.signal_efficiency for r in next(iter(first.metrics.rejections.values()))] == [0.8]


def test_what_cannot_be_learned_is_refused():
    jets = make_jets(200)
    no_label = Jets(jets.particles, jets.offsets, {k: v for k, v in jets.jet.items() if k != "label"})
    with pytest.raises(JetsError, match="train jets have no labels"):
        train_boosted_trees(splits(train=no_label))
    with pytest.raises(JetsError, match=r"test jets have labels \[2\]"):
        train_boosted_trees(splits(test=make_jets(200, n_classes=3)))
    with pytest.raises(ConfigError, match="observables"):
        BoostedTreesConfig(observables=())


AXIS = {"pt": [3.0, 2.0], "eta": [0, 0], "phi": [0, 0], "mass": [0, 0]}


def two_jets(**columns):
    """A jet of two particles and a jet of one."""
    base = {"deta": [0, 0.1, 0], "dphi": [0, 0, 0], "pt": [2, 1, 2], "energy": [2, 1, 2]}
    return Jets.build(base | columns, [0, 2, 3], AXIS | {"label": [1, 0]}, class_names=["a", "b", "c"])


def test_displaced_particles_are_counted_by_hand():
    jets = two_jets(d0=[-0.5, 0.2, 9.0], d0_err=[0.1, 0.1, 0.0])  # the last one has no track
    assert displaced_particles(jets).tolist() == [1, 0]
    assert displaced_particles(jets, significance=1.9).tolist() == [2, 0]


def test_lepton_fraction_is_that_of_the_momentum():
    assert lepton_fraction(two_jets(pid=[211, -13, 11])) == pytest.approx([1 / 3, 1])


def test_missing_columns_are_named():
    with pytest.raises(JetsError, match="d0_err"):
        displaced_particles(two_jets(d0=[1, 1, 1]))
    with pytest.raises(JetsError, match="species"):
        lepton_fraction(two_jets())


def test_classes_without_jets_are_left_out():
    parts = by_class(two_jets())
    assert {name: len(part) for name, part in parts.items()} == {"a": 1, "b": 1}
    assert parts["a"].label.tolist() == [0]


def test_table_has_a_row_per_class(jets):
    table = class_table(jets)
    assert table["number of jets"].sum() == len(jets)
    first = jets[jets.label == 0]
    assert table.loc["class 0", "multiplicity"] == np.median(first.counts)
    assert table.loc["class 0", "displaced particles"] == pytest.approx(
        displaced_particles(first).mean(), abs=0.01
    )


def test_table_without_tracks_and_species():
    assert "displaced particles" not in class_table(two_jets())


def test_what_is_lost_on_other_jets_is_counted_per_seed():
    others = {"same": packed(32, seed=2), "other": packed(32)}
    data = ClassifierData(packed(32), packed(16, seed=1), packed(32, seed=2), others=others)
    settings = ClassifierSettings(2, network="pfn", training=TrainConfig(epochs=1, batch_size=16))
    runs = train_classifiers(data, {"PFN": settings}, seeds=(1, 2), workers=1, progress=False).of("PFN")
    lost = metric_lost(runs)
    assert lost["same"] == [0, 0]
    assert lost["other"] == [r.metrics.auc - r.others["other"].auc for r in runs]
    mean, error = mean_lost(runs)["other"]
    assert mean == np.mean(lost["other"])
    jets = [np.hypot(r.metrics.auc_error, r.others["other"].auc_error) for r in runs]
    assert error == pytest.approx(np.hypot(np.std(lost["other"], ddof=1), np.sqrt(np.mean(np.square(jets)))))
    assert mean_lost(runs[:1])["other"][1] == pytest.approx(jets[0]), "one seed has no spread"


def test_saved_jets_are_read_off_the_scratch_curve():
    sizes = [100, 1000, 10_000]
    saved = jets_saved(sizes, [[0.6, 0.7, 0.8], [0.8, 0.9, 1.0]], [[0.8, 0.85, 0.95]])
    assert saved == {100: 10, 1000: pytest.approx(10**0.5), 10_000: float("inf")}
    assert jets_saved(sizes, [[0.7, 0.8, 0.9]], [[0.7, 0.6, 0.9]]) == {100: 1, 1000: 0, 10_000: 1}
    # a curve that falls counts as its best so far
    assert jets_saved(sizes, [[0.8, 0.7, 0.9]], [[0.85, 0.8, 0.9]])[1000] == pytest.approx(0.1)
