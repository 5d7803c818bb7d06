import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.metrics import roc
from omnilearn_lab.tasks.flavour.rejections import (
    flavour_discriminant,
    tagger_scores,
    tagger_values,
)

LABEL = np.repeat([0, 1, 2, 3], 200)


def guesses(seed, strength=2.0):
    """Probabilities of a tagger that knows something."""
    logits = np.random.default_rng(seed).normal(size=(len(LABEL), 4)) + strength * np.eye(4)[LABEL]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_discriminant_by_hand():
    light, c, b, tau = 0.5, 0.2, 0.25, 0.05
    found = [flavour_discriminant(np.array([[light, c, b, tau]]), target)[0] for target in ("b", "c")]
    assert found[0] == pytest.approx(np.log(b / (0.2 * c + 0.01 * tau + 0.79 * light)))
    assert found[1] == pytest.approx(np.log(c / (0.2 * b + 0.01 * tau + 0.79 * light)))


def test_discriminant_of_a_certain_jet_is_finite():
    assert np.isfinite(flavour_discriminant(np.eye(4), "b")).all()


def test_no_discriminant_for_tau():
    with pytest.raises(ConfigError, match="known: b, c"):
        flavour_discriminant(np.eye(4), "tau")


def test_scores_hold_two_flavours_per_seed():
    pairs = tagger_scores({"ours": [guesses(1), guesses(2)]}, LABEL, "b", "light")["ours"]
    assert [len(score) for score, _ in pairs] == [400, 400]
    assert [int(is_target.sum()) for _, is_target in pairs] == [200, 200]
    score, is_target = pairs[0]
    assert score[is_target == 1].mean() > score[is_target == 0].mean()


def test_rejection_at_an_efficiency_is_counted():
    values = tagger_values(guesses(1, 0.8), LABEL, {"c": 0.7})
    ((score, is_target),) = tagger_scores({"": [guesses(1, 0.8)]}, LABEL, "c", "b")[""]
    cut = np.quantile(score[is_target == 1], 0.3)
    passed = (score[is_target == 0] > cut).mean()
    assert values["c at 70 %: against b"] == pytest.approx(1 / passed, rel=0.1)
    assert values["AUC, c against b"] == pytest.approx(roc(score, is_target).auc)


def test_every_target_is_measured_against_all_others():
    values = tagger_values(guesses(1), LABEL)
    names = [f"b at 70 %: against {n}" for n in ("light", "c", "tau")]
    names += [f"c at 30 %: against {n}" for n in ("light", "b", "tau")]
    assert [name for name in values if "%" in name] == names


def test_absent_flavour_is_left_out():
    kept = LABEL != 3
    assert not any("tau" in name for name in tagger_values(guesses(1)[kept], LABEL[kept]))
