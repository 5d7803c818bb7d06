"""Scores from pretraining classes, and mixtures."""

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.tasks.search.open_data import (
    THREE_PRONG,
    class_probabilities,
    inject,
)
from tests.conftest import random_jets


def test_pretrained_heads_are_used(jets):
    found = class_probabilities(jets)
    assert found.values.shape == (50, 10) and found.class_names[0] == "QCD"
    np.testing.assert_allclose(found.values.sum(axis=1), 1)
    score = found.score()
    assert ((score >= 0) & (score <= 1)).all()
    columns = [found.class_names.index(name) for name in THREE_PRONG]
    top = found.values[:, columns].sum(axis=1)
    np.testing.assert_allclose(score, top / (top + found.values[:, 0]))
    with pytest.raises(ConfigError, match="no class 'Tbq'.*did you mean"):
        found.score(["Tbq"])


def test_published_weights_have_the_classes_of_jetclass(jets, shared_fixtures):
    path = shared_fixtures / "pet_v1_keras_small.weights.h5"
    found = class_probabilities(jets, str(path))
    assert found.class_names[8] == "Tbqq" and found.values.shape == (50, 10)


def test_injection_has_the_fraction_asked_for():
    background, signal = random_jets(98, seed=1), random_jets(10, seed=2)
    mixed = inject(background, signal, 0.02)
    assert len(mixed) == 100
    assert len(inject(background, signal, 0.0)) == 98
    with pytest.raises(JetsError, match="needs 24 signal jets, found 10"):
        inject(background, signal, 0.2)
    with pytest.raises(ConfigError, match=r"\[0, 1\)"):
        inject(background, signal, 1.0)
