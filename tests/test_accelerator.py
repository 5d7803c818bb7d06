"""The script for the day a GPU is there: what it counts, and that it runs through on the CPU."""

import json

import pytest
from benchmarks import accelerator


@pytest.fixture(scope="module")
def counted():
    return accelerator.count(16)


def test_a_training_step_launches_little_and_waits_for_nothing(counted):
    for name in ("PET-small train", "PETv2-small train"):
        assert counted[name]["launches"] <= 900, counted
    assert {row["waits"] for row in counted.values()} == {0}


def test_launches_do_not_depend_on_the_jets(counted):
    for name, row in accelerator.count(40).items():
        assert row["launches"] == pytest.approx(counted[name]["launches"], rel=0.1)


def test_the_whole_script_runs_through_on_the_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr(accelerator, "count", dict)
    monkeypatch.setitem(accelerator.STAGES, "tests", lambda plan, clock: {"left out": "we are in one"})
    out = tmp_path / "bench" / "accelerator.json"
    record = accelerator.run_all(accelerator.Plan.of(is_dry=True), 5.0, out)
    assert json.loads(out.read_text()) == json.loads(json.dumps(record))
    assert not [name for name in accelerator.STAGES if "failed" in record[name]], record
    tasks = {(row["model"], row["task"]) for row in record["speeds"] if row["jets_per_second"] > 0}
    assert len(tasks) == 2 * len(accelerator.TASKS)
    assert record["pretraining"]["updates"] > 0
