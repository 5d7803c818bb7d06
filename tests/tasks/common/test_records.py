import json

import pytest
from omnilearn_lab.published import published_results, published_tables
from omnilearn_lab.tasks.common.records import ComparisonRecord, published_numbers

SCRATCH, FINETUNED = [0.90, 0.92, 0.91], [0.95, 0.97, 0.96]
AUC = {"auc": {"scratch": SCRATCH, "finetuned": FINETUNED}}


def comparison(**changes):
    entry = {
        "seeds": [1, 2, 3],
        "n_train": 100,
        "metrics": {"auc": {"scratch": SCRATCH, "finetuned": FINETUNED}},
    }
    return entry | changes


def test_gain_is_paired_by_seed():
    found = ComparisonRecord.model_validate(comparison()).gains["auc"]
    assert found.difference == pytest.approx(0.05)
    assert found.std == pytest.approx(0, abs=1e-12)  # the same step for every seed
    assert (found.n, found.verdict) == (3, "better")


def test_a_smaller_loss_is_better():
    metrics = {"loss": {"scratch": [0.5, 0.6, 0.7], "finetuned": [0.3, 0.4, 0.6]}}
    found = ComparisonRecord.model_validate(comparison(metrics=metrics, smaller_is_better=["loss"]))
    assert found.gains["loss"].verdict == "better"
    assert found.gains["loss"].difference < 0
    assert ComparisonRecord.model_validate(comparison(metrics=metrics)).gains["loss"].verdict == "worse"


def test_no_gain_is_said():
    metrics = {"auc": {"scratch": [0.90, 0.95, 0.91], "finetuned": [0.95, 0.90, 0.92]}}
    assert (
        ComparisonRecord.model_validate(comparison(metrics=metrics)).gains["auc"].verdict == "within errors"
    )


def test_one_seed_gives_no_verdict():
    metrics = {"auc": {"scratch": [0.9], "finetuned": [0.95]}}
    found = ComparisonRecord.model_validate(comparison(metrics=metrics, seeds=[1])).gains["auc"]
    assert (found.verdict, found.std) == ("one seed", None)


def test_seeds_without_a_value_are_left_out_of_the_gain():
    metrics = {"auc": {"scratch": SCRATCH, "finetuned": [None, *FINETUNED[1:]]}}
    assert ComparisonRecord.model_validate(comparison(metrics=metrics)).gains["auc"].n == 2


@pytest.mark.parametrize("key", published_tables())
def test_every_published_table_becomes_plain_json(key):
    table = published_results(key)
    found = published_numbers(table)
    json.dumps(found, allow_nan=False)
    assert sum(len(row) for row in found.values()) <= len(table)
    assert any("(unverified)" in name for name in found) == any(n.is_unverified for n in table)


def test_further_arms_have_gains_too():
    metrics = {"auc": {"scratch": SCRATCH, "finetuned": FINETUNED, "frozen": [0.91, 0.93, 0.92]}}
    record = ComparisonRecord.model_validate(comparison(metrics=metrics, n_lower_limits={"frozen": {}}))
    assert record.gain("auc", "frozen").difference == pytest.approx(0.01)
    assert record.gain("auc", "finetuned") == record.gains["auc"]
    assert record.gain("auc", "unknown") is None
