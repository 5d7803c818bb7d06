"""Commands about notebooks."""

from __future__ import annotations

from functools import partial

import nbformat
import omnilearn_lab
import pytest
from omnilearn_lab.cli.display import show
from omnilearn_lab.cli.run import _parameter, comparison_table
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.notebook import recorded
from omnilearn_lab.notebook.execute import ExecutedNotebook
from omnilearn_lab.notebook.recorded import write_json
from omnilearn_lab.tasks.common.comparison import ComparisonRecord

from tests.notebook import test_report

VALUES = {
    "seeds": [1, 2],
    "n_train": 100,
    "metrics": {"auc": {"scratch": [0.95, 0.96], "finetuned": [0.98, None]}},
    "published": {"OmniLearn": {"auc": 0.9872}},
    "speedup_epochs": [3.0, 5.0],
}


def record(**changes):
    return ComparisonRecord.model_validate(VALUES | changes)


def test_own_and_published_numbers_stand_side_by_side(capsys):
    show(comparison_table("top tagging (simulated)", record()))
    text = capsys.readouterr().out
    parts = ("top tagging (simulated)", "OmniLearn", "0.9872", "0.955", "1 of 2 seeds", "one seed")
    assert all(part in text for part in parts)


def test_a_level_never_reached_is_said(capsys):
    show(comparison_table("top", record(speedup_epochs=[None, None])))
    assert "not reached" in capsys.readouterr().out


def test_lower_limits_are_marked(capsys):
    show(comparison_table("top", record(n_lower_limits={"finetuned": {"auc": 1}})))
    assert "≥ 0.98" in capsys.readouterr().out


def notebook(path, source):
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]})
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(
        nbformat.v4.new_notebook(cells=[cell], metadata=spec | {"language_info": {"name": "python"}}), path
    )


def test_all_goes_on_after_a_failure_and_says_so(command, tmp_path, monkeypatch):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    notebook(folder / "00_broken.ipynb", "1 / 0")
    notebook(folder / "01_fine.ipynb", "1 + 1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OMNILEARN_LAB_RESULTS", raising=False)
    status, out, _ = command("run", "all", "--profile", "smoke")
    assert status == 1
    assert "00_broken: FAILED" in out
    assert "ZeroDivisionError" in out
    assert "01_fine: " in out.splitlines()[-1]
    assert (tmp_path / "results" / "01_fine" / "smoke" / "01_fine.html").is_file()


@pytest.fixture
def executed(tmp_path, monkeypatch):
    """Runs of a notebook that cost nothing: ``smoke``, with an AUC that depends on the seed."""
    seeds, kept = [], tmp_path / "recorded"
    kept.mkdir()

    def execute(name, profile, *, parameters, folder):
        seeds.append(parameters.get("seed", 1))
        results = test_report.record(profile=profile, numbers={"a": 1 + seeds[-1] / 100})
        (tmp_path / name / profile).mkdir(parents=True, exist_ok=True)
        write_json(results, tmp_path / name / profile / "results.json")
        return ExecutedNotebook(name, profile, tmp_path / name / profile, 1.0, 1.0)

    monkeypatch.setattr("omnilearn_lab.notebook.execute_notebook", execute)
    for function in ("expect", "expected_run", "record_run"):
        bound = partial(getattr(recorded, function), folder=kept)
        monkeypatch.setattr(f"omnilearn_lab.notebook.recorded.{function}", bound)
    return seeds, kept


def test_expected_numbers_are_made_by_one_command_and_then_checked(invoke, executed):
    seeds, kept = executed
    name = "03_finetune_top"
    first = invoke("run", name, "--profile", "smoke")
    assert "as expected" not in first.output and "numbers mean nothing" in first.output
    done = invoke("run", name, "--profile", "smoke", "--golden", "3", "--record")
    assert seeds[1:] == [3, 2, 1], "the first seed comes last"
    assert {path.name for path in (kept / name / "smoke").iterdir()} == {
        "expected.json", "figures.json", "results.json",
    }  # fmt: skip
    assert "as expected (" in " ".join(done.output.split())
    assert "as expected" not in invoke("run", name, "--profile", "smoke", "-p", "seed=9").output
    path = kept / name / "smoke" / "expected.json"
    path.write_text(path.read_text().replace('"a": [', '"a": [2.5, 3.0], "b": ['))
    off = " ".join(invoke("run", name, "--profile", "smoke").output.split())
    assert "not as expected" in off and "a: 1.01, expected 2.5 to 3.0" in off and "b: missing" in off


@pytest.mark.parametrize("options", [("--golden", "1"), ("--golden", "3", "-p", "seed=2")])
def test_expected_numbers_need_repeats_of_the_plain_notebook(invoke, options):
    with pytest.raises(ConfigError, match="two seeds or more"):
        invoke("run", "03", *options)


def test_version(invoke):
    assert invoke("--version").output.strip() == f"omnilearn_lab {omnilearn_lab.__version__}"


def test_notebooks_are_copied_once(invoke, tmp_path):
    done = invoke("notebooks", "copy", tmp_path / "mine")
    assert done.exit_code == 0 and (tmp_path / "mine" / "glossary.md").is_file()
    (tmp_path / "mine" / "00_start_here.ipynb").write_text("my own work")
    with pytest.raises(ConfigError, match="holds 00_start_here.ipynb already"):
        invoke("notebooks", "copy", tmp_path / "mine")
    assert (tmp_path / "mine" / "00_start_here.ipynb").read_text() == "my own work"


@pytest.mark.parametrize(("text", "value"), [("seed=2", 2), ("path=a.root", "a.root"), ("n=[1, 2]", [1, 2])])
def test_parameters_are_read_as_yaml(text, value):
    assert _parameter(text) == (text.partition("=")[0], value)


@pytest.mark.parametrize("text", ["seed", "=2", "a b=2"])
def test_what_is_no_parameter(text):
    with pytest.raises(ConfigError, match="NAME=VALUE"):
        _parameter(text)


def test_report_is_printed_and_written(invoke, tmp_path):
    folder = tmp_path / "results" / "03_finetune_top" / "quick"
    folder.mkdir(parents=True)
    write_json(test_report.record(), folder / "results.json")
    result = invoke("report", "--folder", tmp_path / "results", "--profile", "quick")
    assert result.exit_code == 0
    assert "No gain beyond the spread over seeds" in result.output
    assert (tmp_path / "results" / "report.html").is_file()


def test_nothing_to_report_ends_with_the_remedy(command, tmp_path):
    status, _, error = command("report", "--folder", tmp_path)
    assert status == 1
    assert "omnilearn-lab run all" in error
