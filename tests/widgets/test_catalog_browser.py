from omnilearn_lab.errors import DownloadError
from omnilearn_lab.widgets import CatalogBrowser


def test_search_narrows_the_list():
    browser = CatalogBrowser()
    everything = browser.found()
    browser.search.value = "hadronic tops atlas z'"
    assert browser.found() == ("atlas_top",)
    assert browser.choice.value == "atlas_top"
    browser.search.value = "no such thing"
    assert browser.found() == ()
    assert "nothing fits" in browser.text.value
    browser.search.value = ""
    assert browser.found() == everything


def test_description_holds_the_citation_to_copy():
    browser = CatalogBrowser()
    browser.choice.value = "top_tagging"
    assert "omnilearn-copy" in browser.text.value
    assert "<pre" in browser.text.value


def test_work_is_done_beside_the_notebook_and_reported():
    browser = CatalogBrowser()
    browser.choice.value = "jetclass"
    browser.start(lambda name: f"made {name}").join()
    assert browser.state.value.startswith("made jetclass")
    assert not browser.simulate.disabled


def test_failures_are_shown_not_raised():
    browser = CatalogBrowser()

    def fail(name):
        raise DownloadError("no <network> here")

    browser.start(fail).join()
    assert "no &lt;network&gt; here" in browser.state.value


def test_simulated_jets_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("OMNILEARN_LAB_DATA", str(tmp_path))
    browser = CatalogBrowser(n_jets=20)
    browser.choice.value = "top_tagging"
    browser.start(browser._simulate).join()
    assert len(browser.jets) == 20


def test_static_form_is_the_table():
    assert "<table>" in CatalogBrowser()._repr_mimebundle_()["text/html"]


def test_fetched_files_that_nobody_can_verify_are_counted(monkeypatch):
    monkeypatch.setattr("omnilearn_lab.widgets.catalog_browser.fetch", lambda name: [1, 2])
    browser = CatalogBrowser()
    assert "unverified" not in browser._fetch("jetclass")
    assert "5 are unverified" in browser._fetch("jetnet150")
