"""Boosted trees: they learn what observables hold, honour weights, and refuse what cannot be learned."""

from dataclasses import replace

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.jets import Jets
from omnilearn_lab.tasks.tagging import BoostedTreesConfig, train_boosted_trees

QUICK = BoostedTreesConfig(n_trees=20)


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


@pytest.mark.parametrize("n_classes", [2, 3])
def test_separable_classes_are_separated(n_classes):
    train, test = (make_jets(seed=s, n_classes=n_classes) for s in (0, 1))
    found = train_boosted_trees(train, test, config=QUICK)
    assert found.probabilities.shape == (400, n_classes)
    assert found.probabilities.sum(1) == pytest.approx(np.ones(400))
    assert found.metrics.auc > 0.99
    assert 1 <= found.n_trees <= 20 and found.seconds > 0


def test_jets_without_a_groomed_mass_are_allowed():
    """A jet of one particle has ln rho = -inf; trees get 'missing' there."""
    one = Jets.build(
        {"deta": [0.0], "dphi": [0.0], "pt": [10.0], "energy": [10.0]},
        [0, 1],
        {"pt": [10.0], "eta": [0.0], "phi": [0.0], "mass": [0.0], "label": [0]},
    )
    test = Jets.concatenate([make_jets(20), one])
    found = train_boosted_trees(make_jets(200), test, config=QUICK, jet_radius=0.4)
    assert np.isfinite(found.probabilities).all()


def test_weights_count_in_training():
    """Jets of class 1 with weight zero do not exist for the trees: everything looks like class 0."""
    jets = make_jets(300)
    weight = np.where(jets.jet["label"] == 1, 1e-6, 1.0)
    weighted = make_jets(300, weight=weight)
    with_weights = train_boosted_trees(weighted, jets, config=QUICK)
    without = train_boosted_trees(weighted, jets, config=replace(QUICK, use_weights=False))
    assert with_weights.probabilities[:, 1].mean() < 0.1 < without.probabilities[:, 1].mean()


def test_same_seed_same_answer_and_efficiencies_are_those_asked_for():
    config = replace(QUICK, signal_efficiencies=(0.8,))
    first, second = (train_boosted_trees(make_jets(200), make_jets(200, seed=1), config=config) for _ in "ab")
    assert np.array_equal(first.probabilities, second.probabilities)
    assert [r.signal_efficiency for r in next(iter(first.metrics.rejections.values()))] == [0.8]


def test_what_cannot_be_learned_is_refused():
    jets = make_jets(200)
    no_label = Jets(jets.particles, jets.offsets, {k: v for k, v in jets.jet.items() if k != "label"})
    with pytest.raises(JetsError, match="training jets have no labels"):
        train_boosted_trees(no_label, jets, config=QUICK)
    with pytest.raises(JetsError, match=r"\[2\]"):
        train_boosted_trees(jets, make_jets(200, n_classes=3), config=QUICK)
    with pytest.raises(ConfigError, match="n_trees"):
        BoostedTreesConfig(n_trees=0)
    with pytest.raises(ConfigError, match="observable"):
        BoostedTreesConfig(observables=())
