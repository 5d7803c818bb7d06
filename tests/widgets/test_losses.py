"""Losses by seed and by run."""

import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.widgets import LossComparison, RunBrowser

from .samples import history, loss_comparison, write_run


def test_summary_says_when_the_target_is_reached():
    one = loss_comparison()
    one.set(seed=0)
    assert "fine-tuned reaches it at 0.5" in one.summary
    one.set(x="step")
    assert "fine-tuned reaches it at 5" in one.summary


def test_missing_baseline_is_named():
    with pytest.raises(ConfigError, match="baseline 'scratch'"):
        LossComparison({"fine-tuned": [history([0.5, 0.4])]})


@pytest.fixture
def folder(tmp_path):
    write_run(tmp_path / "a", 0.1, [0.7, 0.5, 0.6])
    write_run(tmp_path / "group" / "b", 0.3, [0.7, 0.4])
    return tmp_path


def test_table_shows_best_losses_and_only_what_differs(folder):
    view = RunBrowser(folder)
    assert list(view.runs) == ["a", "group/b"]
    text = view.details()
    assert "<td>0.5000</td>" in text
    assert "<td>0.4000</td>" in text
    assert "training.learning_rate" in text
    assert "size" not in text
    assert "epochs" not in text


def test_new_runs_are_found_without_losing_the_choice(folder):
    view = RunBrowser(folder)
    view.set(runs=("a",))
    write_run(folder / "c", 0.1, [0.7, 0.3])
    view.controls["again"].click()
    assert "c" in view.runs
    assert view.value("runs") == ("a",)


def test_axis_changes_the_picture(folder):
    view = RunBrowser(folder)
    before = view._image.value
    view.set(x="jets seen")
    assert view._image.value != before


def test_unfinished_runs_are_left_out(folder):
    (folder / "started").mkdir()
    (folder / "started" / "metrics.jsonl").write_text("")
    assert "started" not in RunBrowser(folder).runs


def test_empty_folder_says_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match="train with a run directory"):
        RunBrowser(tmp_path)
