"""Flat cuts: the spectrum stays as it was, a signal is seen, the control tells when a cut bends it."""

import numpy as np
import pytest
from omnilearn_lab.errors import MetricError
from omnilearn_lab.tasks.search.decorrelation import (
    FlatScore,
    ScanPoint,
    ScoredJets,
    control_experiments,
    efficiency_scan,
    flat_scan,
    planing_weights,
    scored,
    template_hunt,
)
from omnilearn_lab.tasks.search.mass_fits import MassFit, MassWindow

WINDOW = MassWindow((150.0, 210.0), (100.0, 260.0))
SHARES = (0.3, 0.1, 0.05)


def qcd(n, seed):
    """Falling masses, and a score that likes masses near the window's centre: it sculpts a bump."""
    rng = np.random.default_rng(seed)
    mass = 100 + rng.exponential(80, 3 * n)
    mass = mass[mass < 260][:n]
    return ScoredJets(mass, np.exp(-(((mass - 180) / 60) ** 2)) + rng.exponential(0.5, len(mass)))


def with_tops(background, n, seed):
    rng = np.random.default_rng(seed)
    tops = rng.normal(175, 10, n), 2.5 + rng.exponential(0.5, n)
    return ScoredJets(*(np.concatenate(pair) for pair in zip(background, tops, strict=True)))


def test_the_share_is_kept_at_every_mass():
    other = qcd(40_000, 2)
    flat = FlatScore.fit(qcd(40_000, 1))(other)
    assert flat.min() >= 0 and flat.max() <= 1
    bins = np.digitize(other.masses, np.linspace(100, 260, 9)) - 1
    for share in SHARES:
        shares = np.array([(flat >= 1 - share)[bins == k].mean() for k in range(8)])
        errors = np.sqrt(share * (1 - share) / np.bincount(bins))
        assert (np.abs(shares - share) < 0.08 * share + 3 * errors).all()
    plain = other.scores >= np.quantile(other.scores, 0.9)
    inside, beside = WINDOW.inside(other.masses), WINDOW.beside(other.masses)
    assert plain[inside].mean() > 1.5 * plain[beside].mean()


def test_a_rising_function_of_the_score_changes_nothing():
    jets = qcd(3000, 1)
    cubed = jets._replace(scores=jets.scores**3)
    np.testing.assert_allclose(FlatScore.fit(jets)(jets), FlatScore.fit(cubed)(cubed))


def test_a_better_score_stays_better():
    jets = qcd(10_000, 1)
    steps = np.linspace(jets.scores.min() - 1, jets.scores.max() + 1, 200)
    at_one_mass = FlatScore.fit(jets)(ScoredJets(np.full(200, 170.0), steps))
    assert (np.diff(at_one_mass) >= 0).all() and at_one_mass[0] < 0.01 and at_one_mass[-1] > 0.99


def test_the_control_is_flat_and_a_sculpting_score_is_caught():
    """Twenty splits of a background: cuts on the flat score find nothing, those on the score itself do."""
    pool = qcd(8000, 5)

    def flat(data, reference):
        return flat_scan(pool.rows(data), pool.rows(reference), WINDOW, SHARES)

    def bent(data, _):
        fit = MassFit(WINDOW.limits, "log_polynomial2", n_bins=16)
        return efficiency_scan(*pool.rows(data), WINDOW.signal_region, fit=fit, kept=SHARES)

    controls = control_experiments(flat, 8000)
    assert list(controls) == list(SHARES)
    assert all(control.is_flat for control in controls.values()), [str(c) for c in controls.values()]
    assert all(0.5 < control.values.std() < 1.4 for control in controls.values())
    bending = control_experiments(bent, 8000)
    assert not any(control.is_flat for control in bending.values())
    assert "NOT FLAT" in str(bending[0.1])


def test_pulls_of_independent_backgrounds_are_normal():
    pairs = ((qcd(3000, 2 * k), qcd(3000, 2 * k + 1)) for k in range(60))
    pulls = np.array([[p.significance for p in flat_scan(*pair, WINDOW, (0.3, 0.1))] for pair in pairs])
    assert (np.abs(pulls.mean(axis=0)) < 3 / np.sqrt(60)).all()
    assert ((pulls.std(axis=0) > 0.7) & (pulls.std(axis=0) < 1.25)).all()


def test_a_signal_is_still_found():
    found = [
        flat_scan(with_tops(qcd(6000, 2 * k), 80, k), qcd(6000, 2 * k + 1), WINDOW, (0.05,))[0].significance
        for k in range(8)
    ]
    assert np.mean(found) > 2


def test_template_by_hand():
    mass = np.array([120.0] * 30 + [180.0] * 15 + [240.0] * 30)
    passes = np.zeros(75, dtype=bool)
    passes[[0, 1, 2, 30, 31, 32, 33, 34, 45, 46, 47]] = True  # 6 of 60 beside, 5 of 15 inside
    for degree in (0, 1):  # as many pass on both sides: the slope is zero
        hunt = template_hunt(mass, passes, WINDOW, degree=degree, n_bins=4)
        assert (hunt.observed, hunt.expected) == (5, pytest.approx(10 * 6 / 54))
        assert hunt.expected_uncertainty == pytest.approx(hunt.expected * np.sqrt(1 / 6 + 1 / 54 + 1 / 10))
        assert hunt.significance > 2
        assert hunt.curve.sum() == pytest.approx(64 * 6 / 54)


def test_jets_of_a_flat_score_cost_as_much_as_jets_of_the_data():
    """All at one mass per region, cut at 10 %: the variance of ln R is counted for both samples."""
    mass = np.repeat([120.0, 180.0, 240.0], 1000)
    passes = np.arange(3000) % 10 == 0
    ranked = tuple(np.arange(n) for n in (1000, 500, 1000))
    flat = FlatScore(np.array([120.0, 180.0, 240.0]), ranked)
    exact, learned = (template_hunt(mass, passes, WINDOW, f, degree=0, n_bins=4) for f in (None, flat))
    added = (learned.expected_uncertainty**2 - exact.expected_uncertainty**2) / exact.expected**2
    assert learned.expected == pytest.approx(exact.expected)
    assert added == pytest.approx((1 / 2000 + 1 / 500) / 0.09)


def two_humps(n, seed, slope=0.0):
    """A score that likes the masses of two resonances that it was trained on."""
    rng = np.random.default_rng(seed)
    mass = qcd(n, seed).masses
    likes = sum(np.exp(-(((mass - centre) / width) ** 2)) for centre, width in ((118, 10), (170, 18)))
    return ScoredJets(mass, likes + slope * (mass - 100) / 160 + rng.exponential(0.5, n))


def sidebands(hunts):
    return np.mean([hunt.chi2 / hunt.n_degrees_of_freedom for hunt in hunts])


def test_a_template_of_a_score_that_follows_the_mass_describes_its_sidebands():
    """With and without a signal; failing jets behind a plain cut, or one flat to a curve only, do not."""
    plain, empty, full, pulls = [], [], [], []
    for seed in range(20):
        data, reference = two_humps(6000, 2 * seed), two_humps(6000, 2 * seed + 1)
        passes = data.scores >= np.quantile(data.scores, 0.9)
        plain.append(template_hunt(data.masses, passes, WINDOW))
        for kind, jets in ((empty, data), (full, with_tops(data, 90, seed))):
            kind.append(flat_scan(jets, reference, WINDOW, (0.1,))[0].hunt)
        pulls.append(empty[-1].significance)
    assert sidebands(plain) > 4
    assert 0.75 < sidebands(empty) < 1.25 and 0.75 < sidebands(full) < 1.25
    assert abs(np.mean(pulls)) < 2 * np.std(pulls, ddof=1) / np.sqrt(20)
    excess = np.array([hunt.n_signal for hunt in full]) - [hunt.n_signal for hunt in empty]
    assert excess.mean() == pytest.approx(90, rel=0.05)  # all but a few of the signal pass
    assert np.mean([hunt.significance for hunt in full]) > 2


def test_a_reference_whose_score_has_another_slope_is_corrected_by_the_sidebands():
    flat, straight, pulls = [], [], []
    for seed in range(12):
        data, reference = two_humps(6000, 2 * seed, slope=0.4), two_humps(6000, 2 * seed + 1)
        score = FlatScore.fit(reference)
        passes = score(data) >= 0.9
        for kind, degree in ((flat, 0), (straight, 1)):
            kind.append(template_hunt(data.masses, passes, WINDOW, score, degree=degree))
        pulls.append(straight[-1].significance)
    assert sidebands(flat) > 1.5 > 1.3 > sidebands(straight)
    assert abs(np.mean(pulls)) < 1


def test_template_pulls_are_normal():
    pulls = []
    for seed in range(300):
        passes = np.random.default_rng(seed).random(3000) < 0.1
        pulls.append(template_hunt(qcd(3000, seed).masses, passes, WINDOW).significance)
    assert abs(np.mean(pulls)) < 4 / np.sqrt(300) and 0.85 < np.std(pulls) < 1.15


def test_planing_gives_the_other_spectrum():
    ours, theirs = qcd(20_000, 1).masses, np.random.default_rng(2).uniform(100, 260, 20_000)
    weights = planing_weights(ours, theirs, WINDOW.limits, n_bins=8)
    edges = np.linspace(100, 260, 9)
    np.testing.assert_allclose(
        np.histogram(ours, edges, weights=weights)[0], np.histogram(theirs, edges)[0], rtol=1e-6
    )


def test_splits_are_disjoint_and_of_the_seed():
    seen = []

    def search(data, reference):
        seen.append((data, reference))
        return [ScanPoint(0.5, None)]

    assert control_experiments(search, 100, n_experiments=5) == {}  # a gap is no control
    control_experiments(search, 100, n_experiments=5)
    assert all(len(d) == 50 and sorted([*d, *r]) == list(range(100)) for d, r in seen)
    np.testing.assert_array_equal(seen[0][0], seen[5][0])


def test_bad_input_is_named():
    with pytest.raises(MetricError, match="59 background jets are too few"):
        FlatScore.fit(qcd(59, 1))
    with pytest.raises(MetricError, match="not finite"):
        scored([120.0, np.nan], [0.1, 0.2])
    with pytest.raises(MetricError, match="shapes"):
        scored([120.0], [0.1, 0.2])
    with pytest.raises(MetricError, match="needs jets that pass"):
        template_hunt(np.full(9, 120.0), np.zeros(9, dtype=bool), WINDOW)
    with pytest.raises(MetricError, match="one decision each"):
        template_hunt(np.full(9, 120.0), np.zeros(3, dtype=bool), WINDOW)
    with pytest.raises(MetricError, match="at least two"):
        control_experiments(lambda *_: [], 1)
