import pytest
from omnilearn_lab.notebook import Results, ResultsBrowser
from tests.widgets.samples import write_results


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("OMNILEARN_LAB_RESULTS", str(tmp_path))
    monkeypatch.setattr("omnilearn_lab.notebook.results_browser.RECORDED", tmp_path / "none")
    write_results(tmp_path)
    return tmp_path


def test_numbers_and_figures_of_the_chosen_notebook(folder):
    browser = ResultsBrowser(folder)
    assert [name for _, (name, _) in browser.choice.options] == ["03_finetune_top", "06_transfer_to_dis"]
    assert "better" in browser.text.value
    assert "PET &lt;tiny&gt;" in browser.text.value
    browser.choice.value = ("06_transfer_to_dis", "quick")
    assert "worse" in browser.text.value
    assert [text for text, _ in browser.pictures.options] == ["loss curves", "roc"]
    assert bytes(browser.image.value).startswith(b"\x89PNG")


def test_new_results_are_found(folder):
    browser = ResultsBrowser(folder)
    Results("04_finetune_quark_gluon", "smoke").write(source="simulated", seeds=[1])
    browser.look_again(("04_finetune_quark_gluon", "smoke"))
    assert browser.choice.value == ("04_finetune_quark_gluon", "smoke")
    assert browser.image.layout.display == "none"


def test_static_form_holds_table_and_picture(folder):
    page = ResultsBrowser(folder)._repr_mimebundle_()["text/html"]
    assert "<table" in page
    assert "data:image/png;base64," in page


def test_a_failing_run_is_reported(folder, monkeypatch):
    browser = ResultsBrowser(folder)
    monkeypatch.setattr(
        "omnilearn_lab.notebook.results_browser._COMMAND", "raise SystemExit('no such thing')"
    )
    browser.start().join()
    assert "<b>not done:</b> no such thing" in browser.state.value
    assert not browser.run.disabled


def test_recorded_runs_are_shown_where_nothing_was_run(tmp_path, monkeypatch):
    write_results(tmp_path / "recorded")
    monkeypatch.setattr("omnilearn_lab.notebook.results_browser.RECORDED", tmp_path / "recorded")
    browser = ResultsBrowser(tmp_path / "own")
    labels = [text for text, _ in browser.choice.options]
    assert len(labels) == 2 and all(text.endswith(", recorded)") for text in labels)
    assert "<table" in browser.text.value
    write_results(tmp_path / "own")
    browser.look_again()
    assert not any("recorded" in text for text, _ in browser.choice.options)
