"""Views of trainings."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import threading
import time

import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.widgets import LossComparison, RunBrowser, TrainingMonitor

from .samples import append, beat, history, loss_comparison, record, run_here, write_run


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


@pytest.fixture
def run(tmp_path):
    return run_here(tmp_path)


def end(run, status=0):
    (run / "process.json").write_text(json.dumps({"pid": os.getpid(), "created": 0}))
    (run / "exit.json").write_text(json.dumps({"status": status}))


def test_curves_progress_and_time_left(run):
    monitor = TrainingMonitor(run)
    assert "reading jets" in monitor.line.value and "No record yet" in monitor.summary
    append(run, record("validation", 0, 2.5), record("train", 5, 2.0), record("validation", 5, 1.5))
    beat(run, 25)
    assert monitor.has_news
    monitor.refresh()
    assert monitor.summary == "Loss against epoch: now training 2, validation 1.5."
    assert "running: update 25 of 100, 8 jets/s, 2 min 30 s left" in monitor.line.value
    assert monitor.bar.value == 0.25 and not monitor.has_news
    before = monitor._image.value
    monitor.set(x="jets seen")
    assert monitor._image.value != before and "jets seen" in monitor.summary


def test_stop_button_writes_the_stop_file(run):
    monitor = TrainingMonitor(run)
    monitor.controls["stop"].click()
    assert (run / "stop").exists()
    assert "stopping" in monitor.line.value


def test_a_new_view_shows_the_same(run):
    append(run, record("validation", 0, 2.5), record("validation", 5, 1.5))
    first = TrainingMonitor(run)
    again = TrainingMonitor(run)
    assert first._image.value == again._image.value
    assert {"image/png", "text/plain", "application/vnd.jupyter.widget-view+json"} <= set(
        again._repr_mimebundle_()
    )


def test_a_half_written_record_is_left_out(run):
    append(run, record("validation", 0, 2.5))
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "validation", "st')
    assert "validation 2.5" in TrainingMonitor(run).summary


def test_failure_shows_the_log(run):
    (run / "launch.log").write_text("ConfigError: <no> such thing\n")
    end(run, status=1)
    monitor = TrainingMonitor(run)
    assert "failed" in monitor.line.value and "&lt;no&gt; such thing" in monitor._text.value


def watchers():
    return [t for t in threading.enumerate() if t.name == "training monitor"]


def test_the_view_follows_by_itself_also_while_the_kernel_is_busy(run):
    async def notebook():
        monitor = TrainingMonitor(run)
        lines = set()
        deadline = time.monotonic() + 20
        while len(lines) < 3 and time.monotonic() < deadline:  # the kernel is busy: nothing is awaited
            lines.add(monitor.line.value)
            time.sleep(0.01)
        append(run, record("validation", 0, 2.5))
        while "validation 2.5" not in monitor.summary and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        end(run)
        while watchers() and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        return len(lines), monitor

    n_lines, monitor = asyncio.run(notebook())
    assert n_lines == 3
    assert "validation 2.5" in monitor.summary
    assert "finished" in monitor.line.value and not watchers()


@pytest.mark.parametrize("way", ["close", "forget"])
def test_watching_ends_with_the_view(run, way):
    async def notebook():
        monitor = TrainingMonitor(run)
        if way == "close":
            monitor.close()
        else:
            monitor.widget.close_all()
        del monitor
        deadline = time.monotonic() + 20
        while watchers() and time.monotonic() < deadline:
            gc.collect()
            await asyncio.sleep(0.02)
        return watchers()

    assert asyncio.run(notebook()) == []
