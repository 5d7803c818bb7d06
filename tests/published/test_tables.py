"""Published tables."""

from __future__ import annotations

import html
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.metrics import background_rejection, spread
from omnilearn_lab.published import published_results, published_tables
from omnilearn_lab.published.tables import EVIDENCE, measured, parse_results


def top():
    return published_results("top_tagging")


def test_unknown_names_are_explained():
    with pytest.raises(ConfigError, match="did you mean 'OmniLearn'"):
        top().number("OmniLern", "auc")
    with pytest.raises(ConfigError, match="did you mean 'auc'"):
        top().number("OmniLearn", "acu")
    with pytest.raises(ConfigError, match="known: g, q, t, w, z"):
        published_results("jetnet30").number("PET", "w1_mass")
    with pytest.raises(ConfigError, match="no 'MP-GAN' for 'w'"):
        published_results("jetnet30").number("MP-GAN", "w1_mass", subset="w")


def test_select_rows_and_subset():
    table = published_results("jetnet30").select(("PET", "OmniLearn"), subset="t")
    assert table.algorithms == ("PET", "OmniLearn") and table.subsets == ("t",)
    assert len(table) == 2 * len(table.metrics)
    with pytest.raises(ConfigError, match="no algorithm"):
        top().select(("nobody",))
    with pytest.raises(ConfigError, match="no subset"):
        top().select(subset="g")


def test_own_results_in_every_form():
    rejection = background_rejection(np.linspace(0, 1, 400), np.arange(400) % 2)
    own = {"fine-tuned": {"auc": spread([0.98, 0.99]), "accuracy": 0.931, "rejection_at_0.5": rejection}}
    table = top().join(own)
    assert len(table) == len(top()) + 4 and table.algorithms[-1] == "fine-tuned"
    assert table.number("fine-tuned", "auc").printed == "0.9850 ± 0.0071"
    assert table.number("fine-tuned", "accuracy").printed == "0.931"
    assert table.number("fine-tuned", "rejection_at_0.5").value == rejection.value
    assert table.number("fine-tuned", "rejection_at_0.3").printed == "–"
    assert {n.evidence for n in table if n.algorithm == "fine-tuned"} == {"this work"}
    assert len(top()) == 100  # the shipped table is untouched


def test_a_limit_stays_a_limit():
    rejection = background_rejection([1.0, 0.0], [1, 0])
    assert (
        top()
        .join({"mine": {"rejection_at_0.5": rejection}})
        .number("mine", "rejection_at_0.5")
        .printed.startswith("> ")
    )


def test_scales_are_applied_to_own_numbers():
    table = published_results("jetnet30").join({"mine": {"w1_efp": (0.5e-5, 0.1e-5)}}, subset="g")
    number = table.number("mine", "w1_efp", subset="g")
    assert (number.value, number.uncertainty) == pytest.approx((0.5, 0.1))
    with pytest.raises(ConfigError, match="no subset"):
        published_results("jetnet30").join({"mine": {"w1_efp": 1e-5}})


def test_a_row_without_common_metric_is_an_error():
    with pytest.raises(ConfigError, match="none of the table's metrics: found acc"):
        top().join({"mine": {"acc": 0.9}})


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ((0.5, 0.0), "0.5"),
        ((568.2, 9.4), "568.2 ± 9.4"),
        ((2647.0, 192.0), "2647 ± 192"),
        ((0.9872, 0.00012), "0.98720 ± 0.00012"),
        (SimpleNamespace(mean=1.0, std=float("nan")), "1"),
    ],
)
def test_digits_follow_the_error(result, text):
    assert top().join({"mine": {"auc": result}}).number("mine", "auc").printed == text


def test_frame_keeps_source_and_mark():
    frame = published_results("jetclass").to_frame()
    assert set(frame["evidence"]) == {"unverified"} and frame["source"].str.contains("2202.03772").all()
    wide = top().to_frame().pivot(index="algorithm", columns="metric", values="value")
    assert wide.loc["OmniLearn", "rejection_at_0.5"] == 568


def test_html_shows_own_rows_marks_and_sources():
    text = top().join({"<mine>": {"auc": 0.9}})._repr_html_()
    assert "&lt;mine&gt;" in text and "<mine>" not in text and "<b>&lt;mine&gt;</b>" in text
    assert "OmniLearn, arXiv:2404.16091, Table I" in html.unescape(text)
    marked = published_results("jetclass")._repr_html_()
    assert marked.count(" *</td>") == 5 and "not verified" in marked
    assert "not verified" not in top()._repr_html_()
    assert "<th>subset</th>" in published_results("jetnet30")._repr_html_()


def test_repr_and_str():
    assert repr(top()).startswith("PublishedTable('top_tagging': 25 algorithms")
    assert str(published_results("jetclass").number("ParT", "accuracy")) == "0.861 (unverified)"


TABLES = tuple(published_tables())
FACTS = Path(__file__).parents[3] / "shared" / "facts" / "physics.md"
SECTIONS = {  # table -> heading of the fact sheet that it was taken from
    "top_tagging": "### 5.2",
    "quark_gluon": "### 5.3",
    "cms_quark_gluon": "### 5.4",
    "h1": "### 5.4",
    "atlas_top": "### 5.4",
    "jetclass": "### 5.5",
    "jetclass_training_size": "### 5.5",
    "jetnet30": "### 5.6",
    "jetnet150": "### 5.6",
    "reweighting": "### 5.7",
    "unfolding": "### 5.7",
    "anomaly_open_data": "### 2.5",
}


def small(evidence="printed", source="omnilearn", row="[0.9]", metric="auc"):
    return (
        'sources: {omnilearn: {name: OmniLearn, arxiv: "2404.16091"}}\n'
        "metrics: {auc: {label: AUC}, w1: {label: W1, scale: 1e-3}}\n"
        f"tables: {{toy: {{title: Toy, dataset: toy, metrics: [{metric}], groups: [{{source: {source}, "
        f"where: Table I, evidence: {evidence}, rows: {{PET: {row}}}}}]}}}}"
    )


@pytest.mark.parametrize("key", TABLES)
def test_every_table_is_complete(key):
    table = published_results(key)
    assert table.key == key and len(table) and table.title and table.dataset
    for number in table:
        assert number.evidence in EVIDENCE and number.source and number.algorithm
        assert number.metric in table.metrics and number.scale > 0
        assert (number.value != number.value) == (number.printed == "-")


def test_no_cell_is_given_twice():
    for key in TABLES:
        cells = [(n.algorithm, n.metric, n.subset, n.source) for n in published_results(key)]
        assert len(cells) == len(set(cells)), key


@pytest.mark.parametrize(
    ("key", "algorithm", "metric", "subset", "value", "error"),
    [
        ("top_tagging", "OmniLearn", "rejection_at_0.3", "", 2647, 192),
        ("top_tagging", "PET classifier", "accuracy", "", 0.938, None),
        ("top_tagging", "OmniLearned-l", "rejection_at_0.5", "", 688, 9),
        ("quark_gluon", "OmniLearn", "auc", "", 0.9159, None),
        ("cms_quark_gluon", "OmniLearn", "rejection_at_0.8", "", 4.836, 0.004),
        ("h1", "PET classifier", "rejection_at_0.1", "", 17.73, 0.04),
        ("atlas_top", "OmniLearn (4M)", "rejection_at_0.5", "", 172.1, None),
        ("jetnet30", "OmniLearn", "w1_mass", "q", 0.24, 0.03),
        ("jetnet150", "PET", "w1_efp", "t", 1.81, 0.33),
        ("reweighting", "OmniLearn", "mass", "", 0.027, 0.008),
        ("unfolding", "IBU", "mass", "", 9.31, None),
        ("pretraining_sets", "total", "train_jets", "", 1057.7, None),
    ],
)
def test_numbers_of_the_papers(key, algorithm, metric, subset, value, error):
    number = published_results(key).number(algorithm, metric, subset=subset)
    assert number.value == value
    assert (number.uncertainty == error) if error else number.uncertainty != number.uncertainty


@pytest.mark.parametrize("key", SECTIONS)
def test_every_cell_stands_in_the_fact_sheet(key):
    if not FACTS.is_file():
        pytest.skip("the fact sheet is not here: transcription of the published tables is NOT tested")
    text = FACTS.read_text(encoding="utf-8").split(SECTIONS[key])[1].split("\n##")[0]
    numbers = set(map(float, re.findall(r"\d+(?:\.\d+)?", text)))
    for number in published_results(key):
        for part in re.findall(r"\d+(?:\.\d+)?", number.printed):
            is_elsewhere = number.algorithm == "ParticleNet-Lite"
            assert float(part) in numbers or is_elsewhere, f"{number.algorithm}, {number.metric}: {part}"


def test_the_unverified_mark_stays():
    """Numbers from memory must never pass for printed ones."""
    assert all(n.is_unverified for n in published_results("jetclass"))
    sizes = published_results("jetclass_training_size")
    checked = {(n.subset, n.algorithm) for n in sizes if not n.is_unverified}
    assert checked == {("2M", "ParT"), ("100M", "ParT")}
    assert all(n.evidence == "third party" for n in sizes if not n.is_unverified)
    assert {n.evidence for n in published_results("cosmology")} == {"third party"}
    assert {n.evidence for n in published_results("anomaly_open_data")} == {"read off a figure"}


def test_digits_survive():
    assert published_results("top_tagging").number("ParticleNet", "accuracy").printed == "0.940"
    atlas = published_results("atlas_top")
    assert atlas.number("OmniLearn (40M)", "rejection_at_0.5").printed == "207.30"
    assert atlas.number("OmniLearn (40M)", "rejection_at_0.8").printed == "24.10"


@pytest.mark.parametrize(
    ("key", "algorithm", "metric", "source", "evidence"),
    [
        ("quark_gluon", "ABCNet", "auc", "author's slides", "printed"),
        *(
            ("top_tagging", name, "auc", "OmniLearned, author's slides", "printed")
            for name in ("MIParT", "MIParT fine-tuned", "L-GATr", "L-GATr fine-tuned", "PET v2-s", "PET v2-m")
        ),
        ("top_tagging", "OmniLearned-s", "auc", "arXiv:2510.24066", "printed"),
        ("top_tagging", "OmniLearn", "auc", "arXiv:2404.16091, Table I", "printed"),
        ("top_tagging", "ParticleNet-Lite", "rejection_at_0.5", "arXiv:1902.08570", "third party"),
        ("anomaly_lhco", "OmniLearn", "signal_over_background", "author's slides", "printed"),
        ("anomaly_lhco", "OmniLearn", "significance", "arXiv:2404.16091", "printed"),
    ],
)
def test_each_number_cites_where_it_stands(key, algorithm, metric, source, evidence):
    number = published_results(key).number(algorithm, metric)
    assert source in number.source and number.evidence == evidence
    assert number.value == number.value


def test_a_range_over_classes_is_no_value_of_one():
    for key in ("jetnet30", "jetnet150"):
        for number in published_results(key):
            assert "–" not in number.printed, f"{number.algorithm}, {number.metric}"


def test_by_dataset():
    assert published_results(dataset="top_tagging").key == "top_tagging"
    assert published_results(dataset="cms_open_data").key == "cms_quark_gluon"
    assert published_results(dataset="jetclass").key == "jetclass"
    with pytest.raises(ConfigError, match="reweighting, unfolding; name one"):
        published_results(dataset="omnifold_zjets")
    with pytest.raises(ConfigError, match="did you mean 'top_tagging'"):
        published_results(dataset="top_taging")
    with pytest.raises(ConfigError, match="not 'h1_dis'"):
        published_results("top_tagging", dataset="h1_dis")
    with pytest.raises(ConfigError, match="name a table"):
        published_results()


def test_unknown_table_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'jetnet30'"):
        published_results("jetnet3")


def test_cells():
    value = lambda row, **k: parse_results(small(row=row, **k))["toy"].numbers[0]  # noqa: E731
    assert value("[568 ± 9]").uncertainty == 9
    assert value("[0.56–0.58]").value == pytest.approx(0.57)
    assert value('["-"]').printed == "-"
    assert value("[-1.5e-3 ± 2]").value == -0.0015
    nested = parse_results(small(row="{fine-tuned: [0.9]}"))["toy"]
    assert nested.subsets == ("PET",) and nested.algorithms == ("fine-tuned",)
    assert value("[0.4]", metric="w1").scale == 1e-3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (small(evidence="prnted"), "did you mean 'printed'"),
        (small(evidence="this work"), "evidence 'this work'"),
        (small(source="omnilearned"), "did you mean 'omnilearn'"),
        (small(metric="aucc"), "did you mean 'auc'"),
        (small(row="[0.9, 0.8]"), "2 cells for 1 metrics"),
        (small(row="[about 3]"), "row 'PET', auc: 'about 3' is not a number"),
        (small().replace("where: Table I, ", ""), "missing where"),
        (small().replace("title", "titel"), "did you mean 'title'"),
        ("tables: {}", "exactly the keys"),
        ("[", "not valid YAML"),
    ],
)
def test_mistakes_are_named(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_results(text)


def test_datasets_are_catalogue_keys():
    import omnilearn_lab
    import yaml

    path = Path(omnilearn_lab.__file__).parent / "catalog" / "data_catalog.yaml"
    known = set(yaml.safe_load(path.read_text(encoding="utf-8"))["datasets"])
    assert {published_results(key).dataset for key in TABLES} <= known | {"several", "cosmobench"}


def test_measured_forms():
    assert measured((2.0, 0.5)) == (2.0, 0.5)
    assert measured(spread([1.0, 3.0]))[0] == 2.0
    assert measured([1.0, 3.0]) == (2.0, pytest.approx(np.sqrt(2)))
    assert measured(np.array([1.0, 3.0])) == (2.0, pytest.approx(np.sqrt(2)))
    assert measured(4)[0] == 4.0
    assert np.isnan(measured([4.0])[1])
    for bad in ([], (1, 2, 3), [[1.0]]):
        with pytest.raises(ConfigError, match="no result"):
            measured(bad)
