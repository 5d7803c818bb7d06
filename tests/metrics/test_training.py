"""Spread, gain and speed-up."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.errors import MetricError
from omnilearn_lab.metrics import gain, speedup, spread, time_to_target


def test_spread_by_hand():
    result = spread([1.0, 2.0, 3.0, 6.0])
    assert (result.mean, result.median, result.n) == (3.0, 2.5, 4)
    assert result.std == pytest.approx(np.sqrt(14 / 3))
    assert (result.low, result.high) == pytest.approx((1.48, 4.56))


def test_quantiles_enclose_68_percent_of_a_normal():
    result = spread(np.random.default_rng(0).normal(5.0, 2.0, 100_000))
    assert (result.low, result.high) == pytest.approx((5 - 2 * 0.9945, 5 + 2 * 0.9945), abs=0.05)


def test_one_training_has_no_spread():
    result = spread([0.98])
    assert np.isnan(result.std) and str(result) == "0.98"


@pytest.mark.parametrize(
    ("new", "reference", "options", "verdict"),
    [
        ([10.0, 11.0, 12.0], [5.0, 6.0, 7.0], {}, "better"),
        ([10.0, 11.0, 12.0], [5.0, 6.0, 7.0], {"smaller_is_better": True}, "worse"),
        ([10.0, 11.0, 12.0], [5.0, 6.0, 7.0], {"is_limit": True}, "lower limit"),
        ([10.0, 11.0, 12.0], [5.0, 6.0, 7.0], {"error": 2.8}, "within errors"),
        ([10.0, 11.0, 12.0], [5.0, 6.0, 7.0], {"error": [1.0, np.nan, 1.0]}, "better"),
        ([10.0, 15.0, 5.0], [9.0, 14.0, 4.0], {}, "within errors"),
        ([1.0], [0.0], {"error": 0.1}, "one seed"),  # one seed proves nothing
        ([0.5, 0.5], [0.5, 0.5], {}, "within errors"),
    ],
)
def test_better_means_more_than_two_standard_errors(new, reference, options, verdict):
    assert gain(new, reference, **options).verdict == verdict


def test_the_error_of_a_gain_holds_seeds_and_test_set():
    result = gain([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], error=[0.5, 0.5, 0.5])
    assert result.std == 1 and result.error == pytest.approx(np.sqrt(1 / 3 + 0.5**2))
    assert str(result) == "+2.00 ± 0.76"  # the standard error, which the verdict goes by


@pytest.mark.parametrize(
    ("values", "n_limits", "text"),
    [
        ([3.326, 3.326, 3.326], 0, "3.326"),  # rounding is no spread
        ([136.6, 318.6, 500.6], 0, "319 ± 182"),
        ([136.6, 318.6, 500.6], 1, "≥ 318.6"),
        ([0.98, 0.982], 0, "0.9810 ± 0.0014"),
    ],
)
def test_numbers_are_written_to_the_digits_their_spread_allows(values, n_limits, text):
    assert str(spread(values, n_limits=n_limits)) == text


def test_pairing_removes_a_common_fluctuation():
    reference = np.array([1.0, 5.0, 9.0])
    result = gain(reference + [1.0, 1.1, 0.9], reference, paired=True)
    assert result.difference == pytest.approx(1.0) and result.std == pytest.approx(0.1)
    assert result.verdict == "better" and gain(reference + 1, reference).verdict == "within errors"


def test_speedup_in_epochs_and_seconds():
    result = speedup(
        [0.30, 0.20, 0.25],
        [0.5, 0.4, 0.3, 0.2, 0.21],
        epochs=([0.5, 1.0, 1.5], [1, 2, 3, 4, 5]),
        seconds=([11, 20, 30], [10, 20, 30, 40, 50]),
    )
    assert (result.target_loss, result.epochs_finetuned, result.epochs_scratch, result.epochs) == (
        0.2,
        1,
        4,
        4,
    )
    assert (result.seconds_finetuned, result.seconds_scratch, result.seconds) == (20, 40, 2)
    assert str(result) == "4x fewer epochs (1 instead of 4)"


def test_a_slower_finetuning_is_reported_as_such():
    assert speedup([0.9, 0.5, 0.2], [0.2, 0.3]).epochs == pytest.approx(1 / 3)


def test_a_target_never_reached():
    result = speedup([0.5, 0.4], [0.3])
    assert not result.is_reached and np.isnan(result.epochs) and np.isnan(result.epochs_finetuned)
    assert "not reached" in str(result)
    assert np.isnan(result.seconds)


def test_a_target_undercut_before_the_first_update():
    result = speedup([0.2, 0.1], [0.9, 0.3], epochs=([0, 1], [0, 1]))
    assert result.is_reached and result.is_from_start and np.isnan(result.epochs)
    assert str(result) == "loss 0.3 undercut before the first update"
    assert not speedup([0.5, 0.4], [0.3]).is_from_start and not speedup([0.4, 0.3], [0.3]).is_from_start


def test_no_factor_where_scratch_is_best_before_it_trains():
    result = speedup([0.9, 0.5], [0.6, 0.7], epochs=([0, 1], [0, 1]))
    assert str(result) == "scratch never improves on its first loss, 0.6"


def test_time_to_target_is_the_first_crossing():
    assert time_to_target([0.5, 0.3, 0.6, 0.2], 0.3) == 2
    assert time_to_target([0.5, 0.3], 0.3, time=[100, 250]) == 250


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: spread([]), "no values"),
        (lambda: spread([1.0, np.nan]), "index 1"),
        (lambda: gain([1.0, 2.0], [1.0], paired=True), "2 and 1"),
        (lambda: speedup([], [0.1]), "empty"),
        (lambda: speedup([np.nan], [0.1]), "not finite"),
        (lambda: time_to_target([0.5, 0.4], 0.1, time=[1]), "1 entries for 2"),
        (lambda: time_to_target([0.5, 0.4], 0.1, time=[2, 1]), "must not fall"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(MetricError, match=message):
        call()
