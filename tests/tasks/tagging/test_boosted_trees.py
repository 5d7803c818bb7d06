"""Boosted trees: they learn what observables hold, honour weights, and refuse what cannot be learned."""

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.jets import Jets
from omnilearn_lab.metrics import roc
from omnilearn_lab.observables import SIX, observables
from omnilearn_lab.tasks.tagging import BoostedTreesConfig, train_boosted_trees

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
