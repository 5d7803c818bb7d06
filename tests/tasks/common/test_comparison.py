"""The comparison over seeds and its records."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.metrics import spread
from omnilearn_lab.published import published_results, published_tables
from omnilearn_lab.tasks.common import Comparison, ComparisonSettings, compare
from omnilearn_lab.tasks.common.comparison import ComparisonRecord, published_numbers
from omnilearn_lab.training import TrainConfig
from tests.tasks.common.arms import Measured, measure

SCRATCH, FINETUNED = [0.90, 0.92, 0.91], [0.95, 0.97, 0.96]


def entry(**changes):
    values = {
        "seeds": [1, 2, 3],
        "n_train": 100,
        "metrics": {"auc": {"scratch": SCRATCH, "finetuned": FINETUNED}},
    }
    return values | changes


def test_gain_is_paired_by_seed():
    found = ComparisonRecord.model_validate(entry()).gains["auc"]
    assert found.difference == pytest.approx(0.05)
    assert found.std == pytest.approx(0, abs=1e-12)  # the same step for every seed
    assert (found.n, found.verdict) == (3, "better")


def test_a_smaller_loss_is_better():
    metrics = {"loss": {"scratch": [0.5, 0.6, 0.7], "finetuned": [0.3, 0.4, 0.6]}}
    found = ComparisonRecord.model_validate(entry(metrics=metrics, smaller_is_better=["loss"]))
    assert found.gains["loss"].verdict == "better"
    assert found.gains["loss"].difference < 0
    assert ComparisonRecord.model_validate(entry(metrics=metrics)).gains["loss"].verdict == "worse"


def test_no_gain_is_said():
    metrics = {"auc": {"scratch": [0.90, 0.95, 0.91], "finetuned": [0.95, 0.90, 0.92]}}
    assert ComparisonRecord.model_validate(entry(metrics=metrics)).gains["auc"].verdict == "within errors"


class Shared(Measured):
    """A result whose fluctuations are known jet by jet; none is a limit."""

    def limits(self):
        return ()

    def errors(self):
        """Twice the gain, for each arm alone."""
        return {"auc": 0.02}

    @property
    def influences(self):
        """The same but for one jet."""
        return {"auc": np.array([0.02, self.auc / 1000])}


def test_what_two_arms_share_cancels_in_the_error_of_their_difference():
    arms = {"scratch": (0.90, 0.91, 0.92), "finetuned": (0.91, 0.92, 0.93)}
    runs = {name: tuple(Shared(value, 1 - value) for value in values) for name, values in arms.items()}
    comparison = Comparison(runs, (1, 2, 3))
    assert comparison.shared_errors("auc", "finetuned") == pytest.approx([1e-5] * 3)
    record = comparison.record()
    assert comparison.gain("auc").verdict == record.gains["auc"].verdict == "better"
    assert record.shared_errors["auc"]["finetuned"] == pytest.approx([1e-5] * 3)
    apart = record.model_copy(update={"shared_errors": {}})
    assert apart.gain("auc", "finetuned").verdict == "within errors", "as if each had test jets of its own"


def test_one_seed_gives_no_verdict():
    metrics = {"auc": {"scratch": [0.9], "finetuned": [0.95]}}
    found = ComparisonRecord.model_validate(entry(metrics=metrics, seeds=[1])).gains["auc"]
    assert (found.verdict, found.std) == ("one seed", None)


def test_seeds_without_a_value_are_left_out_of_the_gain():
    metrics = {"auc": {"scratch": SCRATCH, "finetuned": [None, *FINETUNED[1:]]}}
    assert ComparisonRecord.model_validate(entry(metrics=metrics)).gains["auc"].n == 2


@pytest.mark.parametrize("key", published_tables())
def test_every_published_table_becomes_plain_json(key):
    table = published_results(key)
    found = published_numbers(table)
    json.dumps(found, allow_nan=False)
    assert sum(len(row) for row in found.values()) <= len(table)
    assert any("(unverified)" in name for name in found) == any(n.is_unverified for n in table)


def test_further_arms_have_gains_too():
    metrics = {"auc": {"scratch": SCRATCH, "finetuned": FINETUNED, "frozen": [0.91, 0.93, 0.92]}}
    record = ComparisonRecord.model_validate(entry(metrics=metrics, n_lower_limits={"frozen": {}}))
    assert record.gain("auc", "frozen").difference == pytest.approx(0.01)
    assert record.gain("auc", "finetuned") == record.gains["auc"]
    assert record.gain("auc", "unknown") is None


BUDGET = TrainConfig(epochs=1, batch_size=16)
AUC = {"scratch": [0.80, 0.82, 0.81], "finetuned": [0.90, 0.92, 0.91], "frozen": [0.85, 0.83, 0.84]}


@pytest.fixture(scope="module")
def comparison():
    results = {arm: tuple(Measured(auc, 1 - auc) for auc in values) for arm, values in AUC.items()}
    return Comparison(results, (1, 2, 3))


def test_every_arm_is_trained_with_every_seed_also_in_processes(tmp_path):
    train = partial(measure, [0.5, 0.6])
    arms = {"plain": 0.0, "better": 0.1, "best": 0.2}
    here = compare(train, arms, seeds=(1, 2), workers=1, directory=tmp_path, progress=False)
    assert here.values("best", "auc") == pytest.approx([0.7, 0.8])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{arm}-seed{seed}" for arm in sorted(arms) for seed in (1, 2)
    ]
    there = compare(train, arms, seeds=(1, 2), workers=2, progress=False)
    assert there.by_arm("auc") == here.by_arm("auc")


def test_seeds_must_be_there_and_differ():
    for seeds in ((), (1, 1)):
        with pytest.raises(ConfigError, match="each only once"):
            compare(partial(measure, [0.5]), {"plain": 0.0}, seeds=seeds)


def test_gain_and_spread_are_over_the_seeds(comparison):
    assert comparison.spread("scratch", "auc").std == pytest.approx(0.01)
    assert comparison.gain("auc").difference == pytest.approx(0.1)
    assert comparison.gain("auc").std == pytest.approx(0, abs=1e-9)
    assert comparison.gain("auc", "frozen").difference == pytest.approx(0.03)
    assert comparison.gain("loss", "scratch", against="frozen").difference == pytest.approx(0.03)


def test_table_has_a_row_per_arm_and_the_gains(comparison):
    table = comparison.table(["auc"])
    assert list(table.index) == [
        "scratch",
        "fine-tuned",
        "frozen body",
        "gain, fine-tuned",
        "gain, frozen body",
    ]
    assert table.loc["scratch", "AUC"] == "0.810 ± 0.010"
    assert table.loc["fine-tuned", "AUC"] == "≥ 0.91"
    assert table.loc["gain, frozen body", "AUC"].startswith("+0.03")
    assert list(comparison.select({"a": "scratch", "b": "frozen"}).table().index) == ["a", "b"]
    one = Comparison({"a": (Measured(0.5, 0.1),)}, (1,))
    assert one.table().loc["a", "AUC"] == "0.5"


def test_gains_of_pairs_say_what_exceeds_the_spread(comparison):
    gains = comparison.gains({"fine-tuning": ("finetuned", "scratch"), "head": ("frozen", "scratch")})
    assert gains.loc[("fine-tuning", "Loss"), "beyond"]
    assert not gains.loc[("fine-tuning", "AUC"), "beyond"]  # one value is only a lower limit
    assert gains.loc[("head", "AUC"), "spread"] == pytest.approx(np.std([0.05, 0.01, 0.03], ddof=1))
    by_default = comparison.gains(metrics=["auc"])
    assert list(by_default.index) == [("fine-tuned over scratch", "AUC"), ("frozen body over scratch", "AUC")]


def test_rows_join_a_published_table(comparison):
    joined = published_results("top_tagging").join(comparison.rows(["auc"]))
    assert joined.number("fine-tuned, here", "auc").value == pytest.approx(0.91)
    assert str(comparison.rows(["auc"])["scratch, here"]["auc"]) == str(spread(AUC["scratch"]))


def test_record_holds_every_arm_and_its_lower_limits(comparison):
    record = comparison.record(published_results("top_tagging"))
    assert record.metrics["auc"] == AUC and record.n_train == 100
    assert record.smaller_is_better == ["loss"]
    assert record.gains["auc"].difference == pytest.approx(comparison.gain("auc").difference)
    assert comparison.lower_limits() == "lower limits, in how many of 3 trainings:\n  fine-tuned: AUC 1"
    assert record.n_lower_limits == {"scratch": {}, "finetuned": {"auc": 1}, "frozen": {}}
    assert record.published["OmniLearn"]["auc"] == 0.9872
    assert record.speedup_epochs is None and comparison.histories() == {}


def test_unknown_arms_and_metrics_are_named(comparison):
    with pytest.raises(ConfigError, match="did you mean 'frozen'"):
        comparison.values("frozn", "auc")
    with pytest.raises(ConfigError, match="did you mean 'auc'"):
        comparison.values("frozen", "aux")
    assert comparison.by_arm("n_train")["scratch"] == [100, 100, 100]


def test_unequal_budgets_and_unknown_kinds_are_refused():
    with pytest.raises(ConfigError, match="epochs is 1 for scratch and 2"):
        ComparisonSettings(scratch=BUDGET, finetuned=TrainConfig(epochs=2, batch_size=16))
    with pytest.raises(ConfigError, match="only once"):
        ComparisonSettings(seeds=(1, 1))
    with pytest.raises(ConfigError, match="did you mean 'scratch'"):
        ComparisonSettings().arm("scrach")


def test_scratch_has_the_sizes_of_the_checkpoint_that_fine_tuning_starts_from():
    arms = ComparisonSettings("tiny", scratch=BUDGET, finetuned=BUDGET).arms()
    assert (arms["scratch"].init, arms["scratch"].like) == ("scratch", "tiny")
    assert (arms["finetuned"].init, arms["finetuned"].like) == ("tiny", "")
    assert arms["finetuned"].with_seed(7).training.seed == 7
