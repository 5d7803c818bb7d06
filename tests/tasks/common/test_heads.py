"""Small classifiers: tuned by validation, with weights, and with all classes in the answer."""

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.metrics import auc
from omnilearn_lab.tasks.common import heads
from omnilearn_lab.tasks.common.heads import Rows, fit_head

KINDS = ("logistic", "mlp", "trees")


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    trees = tuple(choice | {"max_iter": 50} for choice in heads.TREES)
    monkeypatch.setattr(heads, "TREES", trees)  # the best of these few rows have fewer than 30


def rows(n=300, *, seed=0, shift=1.5, n_classes=2, n_noise=4):
    """One column tells the classes apart, the others are noise."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, n_classes, n)
    values = rng.normal(size=(n, 1 + n_noise))
    values[:, 0] += shift * label
    return Rows(values, label)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_learns_and_does_so_again(kind):
    test = rows(seed=2)
    heads = [fit_head(rows(), rows(seed=1), kind=kind) for _ in range(2)]
    first, second = (head.predict(test.values) for head in heads)
    assert first.sum(axis=1) == pytest.approx(1) and np.array_equal(first, second)
    assert auc(first, test.label) > 0.75 and heads[0].val_loss < np.log(2)


@pytest.mark.parametrize("kind", ["logistic", "trees"])
def test_where_there_is_little_to_learn_little_is_said(kind):
    """Regularisation and the number of trees come from the validation rows: no worse than knowing nothing."""
    train, validation, test = (rows(400, seed=seed, shift=0.1, n_noise=20) for seed in range(3))
    head = fit_head(train, validation, kind=kind)
    p = head.predict(test.values)[np.arange(400), test.label]
    assert -np.log(p).mean() < np.log(2) + 0.02


@pytest.mark.parametrize("kind", ["logistic", "trees"])
def test_rows_without_weight_do_not_count(kind):
    train, validation = rows(400), rows(seed=1)
    flipped = Rows(train.values, 1 - train.label, np.full(400, 1e-6))
    both = Rows(*(np.concatenate(pair) for pair in zip((*train[:2], np.ones(400)), flipped, strict=True)))
    head = fit_head(both, validation, kind=kind)
    assert auc(head.predict(validation.values), validation.label) > 0.75


def test_a_class_without_training_rows_has_probability_zero():
    train = rows(n_classes=2)
    probabilities = fit_head(train, rows(seed=1), n_classes=3).predict(train.values)
    assert probabilities.shape == (300, 3) and (probabilities[:, 2] == 0).all()
    with pytest.raises(ConfigError, match="one class"):
        fit_head(Rows(train.values, np.zeros(300, int)), train)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cautious_head_has_learned_from_the_validation_rows(kind):
    train, validation, test = (rows(n, seed=n, n_noise=20) for n in (60, 600, 601))
    heads = (fit_head(train, validation, kind=kind, cautious=cautious) for cautious in (False, True))
    first, second = (auc(head.predict(test.values), test.label) for head in heads)
    assert second > first + 0.02


def test_caution_takes_the_first_of_those_that_the_validation_rows_cannot_tell_apart():
    level = np.random.default_rng(1).normal(1.0, 0.3, 400)
    losses = np.array([level + 0.2, level + 0.004 + np.tile([-0.1, 0.1], 200), level])  # 0.004 +- 0.005
    for weight in (None, np.full(400, 7.0)):
        assert heads._choose(losses, weight, True)[0] == 1
        best, loss = heads._choose(losses, weight, False)
        assert best == 2 and loss == pytest.approx(level.mean())
    losses[1] += 0.002  # 0.006 +- 0.005, or with half the rows +- 0.007
    assert [heads._choose(losses, np.repeat([1.0, w], 200), True)[0] for w in (1.0, 0.0)] == [2, 1]
