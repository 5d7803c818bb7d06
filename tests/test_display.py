"""What readers see: labels of keys, digits of numbers, and tables that nothing can break out of."""

from __future__ import annotations

import math

import numpy as np
import pytest
from omnilearn_lab.display import LABELS, Link, html_table, label, number, plain

HOSTILE = '<img src=x onerror="alert(1)">'


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (3.326, 5.4e-16, "3.326"),
        (318.6, 180.0, "319 ± 180"),
        (2647.3, 192.0, "2647 ± 192"),
        (568.2, 8.62, "568.2 ± 8.6"),
        (0.9872, 0.00099, "0.98720 ± 0.00099"),
        (0.9872, 0.000996, "0.9872 ± 0.0010"),
        (5.0, 0.0, "5"),
        (math.nan, 1.0, "–"),
        (2.0, math.nan, "2"),
        (math.inf, 1.0, "inf"),
        (1.5e-9, 2e-10, "1.5e-09 ± 2e-10"),
    ],
)
def test_digits_follow_the_uncertainty(value, error, text):
    assert number(value, error) == text


def test_every_label_is_written_for_figures_and_for_tables():
    for key in (*LABELS, "rejection_at_0.5", "rejection_at_0.3[Hbb]", "auc[top]"):
        text = label(key, has_unit=True)
        assert text and not set(text) & set("$\\{}"), key
        assert "_" not in label(key, is_math=True).replace("$", "") or "$" in label(key, is_math=True)


def test_units_stand_on_axes_only():
    assert label("mass") == "m" and label("mass", is_math=True, has_unit=True) == "$m$ [GeV]"
    assert label("tau_21", has_unit=True) == "τ₂₁"


def test_unknown_keys_are_their_own_labels():
    assert label("my_score") == "my_score"
    assert plain("no formula, 3 $") == "no formula, 3 $"


def test_nothing_breaks_out_of_a_table():
    rows = [[HOSTILE, HOSTILE], [HOSTILE, Link(HOSTILE, '"><script>')]]
    table = html_table(rows, caption=HOSTILE, titles=[HOSTILE], classes={HOSTILE: HOSTILE}, bold=[0])
    assert "<img" not in table and "<script" not in table and 'onerror="' not in table


@pytest.mark.parametrize(
    "target", ["javascript:alert(1)", " JavaScript:alert(1)", "data:text/html,x", "file:///x"]
)
def test_links_lead_to_pages_only(target):
    assert html_table([[Link("text", target)]], head=False) == "<table><tr><td>text</td></tr></table>"
    assert "<a href=" in html_table([[Link("text", "https://arxiv.org")]])


def test_cells_are_numbers_or_texts():
    row = [np.float32(0.123456), np.int64(12345), 7, 2.0, "a"]
    assert html_table([row], head=False).count("<td>0.1235</td><td>12345</td><td>7</td><td>2</td><td>a</td>")
