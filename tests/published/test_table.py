"""A published table as an object: cells, selection, your own rows, frame and HTML."""

from __future__ import annotations

import html
from types import SimpleNamespace

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.metrics import background_rejection, spread
from omnilearn_lab.published import published_results


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
