"""What a notebook run prints."""

from __future__ import annotations

from omnilearn_lab.cli.display import show
from omnilearn_lab.cli.run import summary_table

RESULTS = {
    "notebook": "03_finetune_top", "source": "simulated", "scratch": {"auc": [0.95, 0.96]},
    "finetuned": {"auc": [0.98, None]}, "published": {"OmniLearn": {"auc": 0.9872}},
    "speedup_epochs": [3.0, 5.0],
}  # fmt: skip


def test_own_and_published_numbers_stand_side_by_side(capsys):
    show(summary_table(RESULTS))
    text = capsys.readouterr().out
    assert all(
        part in text
        for part in ("03_finetune_top (simulated)", "OmniLearn", "0.9872", "0.955", "1 of 2 seeds")
    )


def test_a_level_never_reached_is_said(capsys):
    show(summary_table(RESULTS | {"speedup_epochs": [None, None]}))
    assert "not reached" in capsys.readouterr().out
