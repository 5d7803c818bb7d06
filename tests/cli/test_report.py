"""``omnilearn-lab report``."""

from omnilearn_lab.notebook.records import write_json

from tests.notebook.test_report import record


def test_report_is_printed_and_written(invoke, tmp_path):
    folder = tmp_path / "results" / "03_finetune_top" / "quick"
    folder.mkdir(parents=True)
    write_json(record(), folder / "results.json")
    result = invoke("report", "--folder", tmp_path / "results", "--profile", "quick")
    assert result.exit_code == 0
    assert "No gain beyond the spread over seeds" in result.output
    assert (tmp_path / "results" / "report.html").is_file()


def test_nothing_to_report_ends_with_the_remedy(command, tmp_path):
    status, _, error = command("report", "--folder", tmp_path)
    assert status == 1
    assert "omnilearn-lab run all" in error
