import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from matplotlib.figure import Figure
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.notebook import Results
from omnilearn_lab.notebook.records import read_results
from omnilearn_lab.notebook.results import results_directory

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
