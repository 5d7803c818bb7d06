import json

import pytest
from matplotlib.figure import Figure
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.tasks import Results
from omnilearn_lab.tasks.results import results_directory


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("OMNILEARN_LAB_RESULTS", str(tmp_path))
    return Results("03_finetune_top", "smoke")


def test_file_is_strict_json(results, tmp_path):
    results.write({"scratch": {"auc": [0.9, float("nan")]}, "seeds": (1, 2)})
    found = json.loads((tmp_path / "03_finetune_top" / "smoke" / "results.json").read_text())
    assert found["scratch"]["auc"] == [0.9, None]
    assert found["seeds"] == [1, 2]
    assert found["versions"]["torch"]


def test_steps_are_timed(results):
    with results.timed("simulation"):
        pass
    assert json.loads(results.write({}).read_text())["seconds"]["simulation"] >= 0


def test_figures_are_saved_twice(results):
    figure = Figure()
    assert results.figure("empty", figure) is figure
    assert {p.name for p in results.directory.iterdir()} == {"empty.png", "empty.pdf"}


def test_folder_beside_the_notebooks(tmp_path, monkeypatch):
    monkeypatch.delenv("OMNILEARN_LAB_RESULTS", raising=False)
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert results_directory("a", "quick") == tmp_path / "results" / "a" / "quick"


def test_unknown_profile_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'quick'"):
        results_directory("a", "quik")
