"""Bump hunts in shares of the data."""

import numpy as np
import pytest
from omnilearn_lab.errors import MetricError
from omnilearn_lab.tasks.search.mass_fits import MassFit
from omnilearn_lab.tasks.search.mass_scans import efficiency_scan, significances

FIT = MassFit((100.0, 260.0), "log_polynomial2", n_bins=16)
REGION = (150.0, 210.0)


def spectrum(n, seed):
    rng = np.random.default_rng(seed)
    mass = 100 + rng.exponential(80, n)
    return mass[mass < 260]


def test_a_good_score_makes_the_bump_appear():
    before, after = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        qcd, top = spectrum(6000, seed), rng.normal(175, 10, 80)
        mass = np.concatenate([qcd, top])
        score = np.concatenate([rng.random(len(qcd)), 0.9 + 0.1 * rng.random(80)])
        scan = efficiency_scan(mass, score, REGION, fit=FIT, kept=(1.0, 0.1))
        before.append(scan[0].significance)
        after.append(scan[1].significance)
    assert np.mean(after) > np.mean(before) + 1


def test_an_independent_score_finds_nothing():
    values = []
    for seed in range(60):
        mass = spectrum(4000, seed)
        score = np.random.default_rng(100 + seed).random(len(mass))
        values += [p.significance for p in efficiency_scan(mass, score, REGION, fit=FIT, kept=(0.3,))]
    assert abs(np.mean(values)) < 4 / np.sqrt(60) and 0.7 < np.std(values) < 1.3


def test_thin_sidebands_are_a_gap_and_not_a_failure():
    mass = spectrum(400, 1)
    first, second = efficiency_scan(mass, -np.abs(mass - 180), REGION, fit=FIT, kept=(1.0, 0.05))
    assert first.hunt is not None
    assert second.hunt is None and "sidebands" in second.problem and np.isnan(second.significance)


@pytest.mark.parametrize(
    ("masses", "scores", "kept", "message"),
    [
        ([150.0], [0.1, 0.2], (1.0,), "shapes"),
        ([], [], (1.0,), "shapes"),
        ([np.nan], [0.1], (1.0,), "not finite"),
        ([150.0], [np.inf], (1.0,), "not finite"),
        ([150.0], [0.1], (0.0,), "shares"),
    ],
)
def test_bad_input_is_named(masses, scores, kept, message):
    with pytest.raises(MetricError, match=message):
        efficiency_scan(masses, scores, REGION, fit=FIT, kept=kept)


def test_shares_without_a_fit_are_left_out_of_the_table():
    mass = spectrum(400, 1)
    runs = [efficiency_scan(mass, -np.abs(mass - 180), REGION, fit=FIT, kept=(1.0, 0.05)) for _ in range(2)]
    table = significances({"a": runs, "b": runs[:1]})
    assert {name: list(row) for name, row in table.items()} == {"a": ["100% kept"], "b": ["100% kept"]}
    assert len(table["a"]["100% kept"]) == 2
