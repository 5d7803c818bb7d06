"""Runs that were kept, on records made by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError, DataFileError
from omnilearn_lab.notebook import Results, recorded
from omnilearn_lab.notebook.execute import find_notebooks
from omnilearn_lab.notebook.recorded import read_results
from omnilearn_lab.plotting import loss_curves
from tests.notebook.test_report import record

NAME = "03_finetune_top"


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A ``long`` run of one figure, recorded."""
    monkeypatch.setenv("OMNILEARN_LAB_RESULTS", str(tmp_path / "results"))
    results = Results(NAME, "long")
    results.figure("loss", loss_curves({"scratch": (np.arange(500), 1 / (1 + np.arange(500)))}))
    results.write(source="simulated", seeds=[1, 2, 3], comparisons=record().comparisons, numbers={"reach": 5})
    recorded.record_run(results.directory, tmp_path / "recorded")
    return tmp_path / "recorded"


@pytest.fixture
def shown(kept, monkeypatch):
    """Notebooks see that run."""
    read = recorded.recorded_run
    monkeypatch.setattr(recorded, "recorded_run", lambda name, folder=kept: read(name, folder))


def test_a_recorded_run_is_small_and_names_no_place(kept):
    place = kept / NAME / "long"
    assert {path.name for path in place.iterdir()} == {"results.json", "figures.json"}
    assert (place / "figures.json").stat().st_size < 4000  # of 500 points
    curve = recorded.recorded_run(NAME, kept).figures["loss"]["scratch"]
    assert len(curve.independent[0]) == 120 and curve.independent[0].values[-1] == 499
    assert all(str(kept.parent) not in path.read_text() for path in place.iterdir())


def test_what_is_not_there_or_broken(kept):
    assert recorded.recorded_run(NAME, kept).results.profile == "long"
    assert recorded.recorded_run("04_other", kept) is None
    path = kept / NAME / "long" / "figures.json"
    path.write_text("[")
    with pytest.raises(DataFileError, match="record the run again"):
        recorded.recorded_run(NAME, kept)


def test_the_recorded_curve_stands_behind_the_readers_own(shown):
    own = {"scratch": ([0, 1, 2], [0.9, 0.5, 0.4]), "other": ([0, 1, 2], [0.9, 0.5, 0.3])}
    figure = Results(NAME, "quick").figure("loss", loss_curves(own))
    ax = figure.axes[0]
    behind = [line for line in ax.get_lines() if len(line.get_xdata()) == 120]
    assert len(behind) == 1 and behind[0].get_alpha() < 0.5
    assert behind[0].get_color() == ax.get_lines()[0].get_color() and behind[0].get_zorder() < 1
    assert ax.get_xlim()[1] < 3, "the reader's own axis"
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert any(text.startswith("recorded (long") for text in texts)
    assert len(figure.figure_data["scratch"].independent[0]) == 3, "the numbers are of this run"
    smoke = Results(NAME, "smoke").figure("loss", loss_curves(own))
    assert not [line for line in smoke.axes[0].get_lines() if len(line.get_xdata()) == 120]


def test_three_columns(shown):
    results = Results(NAME, "quick")
    comparison = record().comparisons["top"].model_dump() | {"published": {"OmniLearn": {"auc": 0.9872}}}
    numbers = {"reach": 7, "floor": {"ln_rho": 0.5}}
    results.write(source="simulated", seeds=[1, 2, 3], comparisons={"top": comparison}, numbers=numbers)
    table = results.beside_recorded()
    assert table.columns[0] == "here (quick)" and table.columns[1].startswith("recorded (long")
    row = table.loc["top: AUC, fine-tuned"]
    assert list(row) == ["0.960 ± 0.010", "0.960 ± 0.010", "0.9872 (OmniLearn)"]
    assert table.loc["floor: ln ρ", "here (quick)"] == "0.5"
    assert list(table.loc["reach"]) == ["7", "5", ""]


def test_bands_stand_around_the_first_seed_and_tell_what_is_off(tmp_path):
    of_machines = {"time": 1, "cores": 2, "memory_gb": 8.0, "quick_minutes": {"00": 0.1}}
    repeats = {seed: record(numbers={"a": 1.0 + seed / 100, **of_machines}) for seed in (1, 2, 3)}
    path = recorded.expect(repeats, tmp_path)
    expected = recorded.expected_run(NAME, "quick", tmp_path)
    assert path.is_file() and expected.seeds == [1, 2, 3]
    assert set(expected.bands) == set(recorded.values_of(record(numbers={"a": 1.0})))
    assert "top: auc: finetuned" in expected.bands
    low, high = expected.bands["a"]
    assert (low, high) == pytest.approx((0.99, 1.03))  # 1.01 of the first seed, two deviations of 0.01
    assert expected.judged(repeats[1]).startswith("as expected") and not expected.deviations(repeats[2])
    assert expected.deviations(record(numbers={"a": 2.0})) == [f"a: 2.0, expected {low} to {high}"]
    assert len(expected.deviations(record(numbers={}))) == 1, "a number that is missing"
    with pytest.raises(ConfigError, match="no spread"):
        recorded.expect({1: record()}, tmp_path)


def test_seeds_of_a_recorded_run_are_bands_where_nobody_repeated_it(tmp_path):
    metrics = {"auc": {"scratch": [0.90, 0.92, 0.94], "finetuned": [0.9, 0.9, 0.9]}}
    comparison = record().comparisons["top"].model_dump() | {
        "metrics": metrics,
        "errors": {},
        "gains": {},
        "smaller_is_better": [],
    }
    run = record(comparisons={"top": comparison}, numbers={"a": 1.0})
    (place := tmp_path / NAME / "quick").mkdir(parents=True)
    recorded.write_json(run, place / "results.json")
    expected = recorded.expected_run(NAME, "quick", tmp_path)
    assert list(expected.bands) == ["top: auc: scratch"], "three seeds that differ"
    assert expected.bands["top: auc: scratch"] == pytest.approx((0.8497, 0.9903)), "t of two means"
    assert expected.judged(run).startswith("as expected (1 numbers, bands from 3 seeds")
    metrics["auc"]["scratch"] = [0.8, 0.84, 0.88]
    off = record(comparisons={"top": comparison})
    assert expected.deviations(off) == ["top: AUC: scratch: 0.84, expected 0.8497 to 0.9903"]


def test_recorded_runs_are_what_they_expect():
    for path in recorded.RECORDED.rglob("results.json"):
        results = read_results(path)
        expected = recorded.expected_run(results.notebook, results.profile)
        assert expected is None or not expected.deviations(results)


def test_what_the_repository_keeps_is_whole():
    names, total = set(find_notebooks(recorded.RECORDED.parent)), 0
    for path in recorded.RECORDED.rglob("*.json"):
        notebook, profile = path.parts[-3:-1]
        total += path.stat().st_size
        assert notebook in names
        if path.name == "results.json":
            results = read_results(path)
            assert (results.notebook, results.profile) == (notebook, profile)
            assert results.machine and results.command
            assert recorded.recorded_run(notebook) is not None
        elif path.name == "expected.json":
            assert recorded.expected_run(notebook, profile).bands
        else:
            assert json.loads(path.read_text()) or notebook[:2] in ("00", "01")  # these draw no curves
    assert total < 3_000_000
