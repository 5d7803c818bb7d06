import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.tasks.common.differences import gain_table, seed_table

VALUES = {
    "complete": {"auc": [0.90, 0.92, 0.91], "accuracy": [0.80, 0.85, 0.90]},
    "without": {"auc": [0.80, 0.82, 0.81], "accuracy": [0.90, 0.85, 0.80]},
}


def test_gain_is_paired_by_seed():
    table = gain_table(VALUES, {"ingredient": ("complete", "without")})
    auc, accuracy = (table.loc[("ingredient", name)] for name in ("auc", "accuracy"))
    assert auc["difference"] == pytest.approx(0.1) and auc["spread"] == pytest.approx(0, abs=1e-9)
    assert auc["beyond"]
    assert accuracy["difference"] == pytest.approx(0, abs=1e-9) and accuracy["spread"] == pytest.approx(0.1)
    assert not accuracy["beyond"]
    loss = gain_table(VALUES, {"without over complete": ("without", "complete")}).iloc[0]
    assert loss["difference"] == pytest.approx(-0.1) and loss["beyond"]


def test_mean_and_spread_in_words():
    table = seed_table(VALUES)
    assert table.loc["complete", "auc"] == "0.91 ± 0.01"
    assert seed_table({"one seed": {"auc": [0.5]}}).loc["one seed", "auc"] == "0.5"


def test_unknown_training_is_named():
    with pytest.raises(ConfigError, match="did you mean 'without'"):
        gain_table(VALUES, {"ingredient": ("complete", "witout")})
