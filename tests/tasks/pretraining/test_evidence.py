"""What a pretrained network is worth, and what its card keeps of it."""

from __future__ import annotations

from omnilearn_lab.models import PET, PETConfig, load_checkpoint, read_card, save_checkpoint, update_card
from omnilearn_lab.tasks.pretraining import DownstreamRecord, downstream_records, downstream_table
from omnilearn_lab.tasks.pretraining.evidence import rounding_loss


def test_half_precision_only_where_it_loses_nothing():
    exact = {"n_jets": 10_000, "accuracy": 0.7, "auc_one_vs_one": 0.9}
    assert rounding_loss(exact, exact) == 0
    assert rounding_loss(exact, exact | {"auc_one_vs_one": 0.89}) > 1


def record(**changes):
    values = {
        "checkpoint": "tiny",
        "task": "top_tagging",
        "n_train": 1000,
        "epochs": 10,
        "batch_size": 100,
        "learning_rate": 1e-3,
        "seeds": [1, 2],
        "metrics": {
            "auc": {"scratch": [0.90, 0.92], "finetuned": [0.95, 0.96]},
            "rejection_at_0.5": {"scratch": [20.0, 30.0], "finetuned": [200.0, 20.0]},
        },
        "n_lower_limits": {"finetuned": {"rejection_at_0.5": 1}},
    }
    return DownstreamRecord(**(values | changes))


def test_table_has_a_row_per_size_and_metric_and_marks_limits():
    table = downstream_table([record(n_train=5000), record()])
    assert [key[2:] for key in table.index] == [
        (1000, "AUC"),
        (1000, "1/ε_B at ε_S = 50 %"),
        (5000, "AUC"),
        (5000, "1/ε_B at ε_S = 50 %"),
    ]
    auc, rejection = table.iloc[0], table.iloc[1]
    assert (auc["scratch"], auc["verdict"]) == ("0.910 ± 0.014", "better")
    assert rejection["fine-tuned"].startswith("≥ ") and not rejection["scratch"].startswith("≥ ")
    assert rejection["verdict"] == "lower limit"


def test_no_records_give_an_empty_table():
    assert downstream_table([]).empty


def test_card_keeps_records_and_the_weights_stay_readable(tmp_path):
    path = tmp_path / "mine.safetensors"
    save_checkpoint(PET(PETConfig(width=8, n_layers=1, n_heads=2, n_classes=2)), path, card={"seed": 3})
    assert downstream_records(path) == []
    update_card(path, downstream=[record().model_dump()])
    assert downstream_records(path) == [record()]
    assert read_card(path)["seed"] == 3
    assert load_checkpoint(path).config.width == 8
