"""Mean and spread of repeated curves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from omnilearn_lab.errors import FigureError
from omnilearn_lab.plotting.bands import band_of, counted

X = np.arange(5.0)


@given(values=hnp.arrays(float, (3, 5), elements=st.floats(-100, 100)))
@settings(max_examples=30, deadline=None)
def test_on_common_points_it_is_numpys_mean_and_standard_deviation(values):
    band = band_of([(X, row) for row in values])
    np.testing.assert_allclose(band.mean, values.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(band.spread, values.std(axis=0, ddof=1), atol=1e-9)


def test_straight_lines_on_different_points_average_exactly():
    band = band_of([([0, 4], [0.0, 4.0]), ([1, 2, 5], [3.0, 6.0, 15.0])])
    np.testing.assert_allclose(band.x, [1, 2, 4])
    np.testing.assert_allclose(band.mean, 2 * band.x)


def test_order_of_repetitions_does_not_matter():
    curves = [(X, X**2), (X, X), (X, -X)]
    np.testing.assert_allclose(band_of(curves).mean, band_of(curves[::-1]).mean)


def test_one_repetition_has_no_errors():
    band = band_of([(X, X)])
    assert band.errors == {}
    assert band_of([(X, X), (X, 2 * X)]).errors.keys() == {"seeds"}


def test_no_curve():
    with pytest.raises(FigureError, match="at least one"):
        band_of([])
    with pytest.raises(FigureError, match="pair"):
        band_of([3])


def test_repetitions_that_are_all_the_same_count_as_one():
    same = band_of([(X, X / 3)] * 3)
    assert same.n_repetitions == 1 and same.errors == {}
    assert counted("trees", same.n_repetitions) == "trees"
    assert counted("PET", band_of([(X, X), (X, X), (X, 2 * X)]).n_repetitions).endswith("of 3 seeds)")
