"""What a notebook keeps."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from matplotlib.figure import Figure
from omnilearn_lab.errors import ConfigError, DataFileError
from omnilearn_lab.metrics import spread
from omnilearn_lab.notebook import Results
from omnilearn_lab.notebook.recorded import check_results, read_results
from omnilearn_lab.notebook.results import results_directory

SCRATCH, FINETUNED = [0.90, 0.92, 0.91], [0.95, 0.97, 0.96]


def comparison(**changes):
    entry = {
        "seeds": [1, 2, 3],
        "n_train": 100,
        "metrics": {"auc": {"scratch": SCRATCH, "finetuned": FINETUNED}},
    }
    return entry | changes


def written(**changes):
    about = {"notebook": "03", "profile": "smoke", "date": "2026-01-01", "versions": {}, "seconds": {}}
    return about | {"source": "simulated", "seeds": [1, 2, 3]} | changes


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (comparison(seeds=[1, 2]), "'comparisons.top': metric 'auc' has 3 values for 'scratch' and 2 seeds"),
        (comparison(metrics={"auc": {"scratch": SCRATCH}}), r"'comparisons.top': .*lacks \['finetuned'\]"),
        (comparison(n_train=0), "'comparisons.top.n_train'"),
        (comparison(smaller_is_better=["acu"]), "did you mean 'auc'"),
        (comparison(speedup=3), "'comparisons.top.speedup'"),
    ],
)
def test_what_does_not_fit_is_named(entry, message):
    with pytest.raises(ConfigError, match=message):
        check_results(written(comparisons={"top": entry}))


def test_written_records_are_read_back(tmp_path):
    record = check_results(written(comparisons={"top": comparison()}, numbers={"nested": {"a": [1, None]}}))
    (tmp_path / "results.json").write_text(record.model_dump_json())
    assert read_results(tmp_path) == record


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(DataFileError, match=r"results\.json"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(DataFileError, match="run the notebook"):
        read_results(tmp_path)


def test_spreads_become_mappings_and_other_objects_are_named():
    found = check_results(written(numbers={"auc": spread([0.9, 0.8])}))
    assert found.numbers["auc"]["mean"] == pytest.approx(0.85)
    with pytest.raises(ConfigError, match="results.json.numbers.a.b holds a object"):
        check_results(written(numbers={"a": {"b": object()}}))


MINIMAL = {"source": "simulated", "seeds": [1]}


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("OMNILEARN_LAB_RESULTS", str(tmp_path))
    return Results("03_finetune_top", "smoke")


def test_file_is_strict_json(results, tmp_path):
    results.write(source="simulated", seeds=(1, 2), numbers={"auc": [0.9, float("nan")], "n": np.int64(3)})
    found = json.loads((tmp_path / "03_finetune_top" / "smoke" / "results.json").read_text())
    assert found["numbers"] == {"auc": [0.9, None], "n": 3}
    assert found["seeds"] == [1, 2]
    assert found["versions"]["torch"]


def test_steps_are_timed(results):
    with results.timed("simulation"):
        pass
    assert json.loads(results.write(**MINIMAL).read_text())["seconds"]["simulation"] >= 0


def test_figures_are_saved_twice(results):
    figure = Figure()
    assert results.figure("empty", figure) is figure
    assert {p.name for p in results.directory.iterdir()} == {"empty.png", "empty.pdf"}


def test_smoke_says_that_its_numbers_mean_nothing(results):
    assert "numbers mean nothing" in repr(results) and "numbers mean nothing" in results._repr_html_()
    assert "better" not in results.conclusion("fine-tuned is better")
    quick = Results("03_finetune_top", "quick")
    assert quick.conclusion("fine-tuned is better") == "fine-tuned is better"
    assert "mean nothing" not in repr(quick)


@pytest.mark.parametrize(
    ("profile", "is_kept"), [("smoke", False), ("quick", False), ("long", True), ("full", True)]
)
def test_long_profiles_keep_their_runs(tmp_path, monkeypatch, profile, is_kept):
    monkeypatch.setenv("OMNILEARN_LAB_RESULTS", str(tmp_path))
    assert (Results("03_finetune_top", profile).runs("PET") is not None) == is_kept


def test_folder_beside_the_notebooks(tmp_path, monkeypatch):
    monkeypatch.delenv("OMNILEARN_LAB_RESULTS", raising=False)
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert results_directory("a", "quick") == tmp_path / "results" / "a" / "quick"


def test_unknown_profile_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'quick'"):
        results_directory("a", "quik")


def test_wrong_source_is_refused_and_nothing_written(results):
    with pytest.raises(ConfigError, match="field 'source'.*found 'imagined'"):
        results.write(source="imagined", seeds=[1])
    assert not list(results.directory.iterdir())


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "a/b", "", ".hidden", "x\n"])
def test_results_stay_in_their_folder(name):
    with pytest.raises(ConfigError, match="no name of a notebook"):
        results_directory(name, "smoke")


def test_two_writers_of_one_file_leave_a_whole_one(results):
    """Each write appears at once and whole; neither writer fails."""
    with ThreadPoolExecutor(4) as pool:
        for path in pool.map(lambda seed: results.write(source="simulated", seeds=[seed] * 500), range(40)):
            assert len(read_results(path).seeds) == 500
    assert [p.name for p in results.directory.iterdir()] == ["results.json"]
