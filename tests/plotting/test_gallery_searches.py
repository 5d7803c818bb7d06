import numpy as np
import pytest
from omnilearn_lab.plotting.gallery_searches import fit_sidebands, injection_curve


def test_a_falling_spectrum_is_followed_and_a_bump_is_not():
    rng = np.random.default_rng(1)
    edges, region = np.linspace(100, 260, 17), (150.0, 200.0)
    falling = 100 + rng.exponential(60, 20_000)
    fit = fit_sidebands(falling, edges, region)
    pulls = (fit.counts - fit.curve) / np.sqrt(fit.curve + fit.curve_uncertainty**2)
    assert np.abs(pulls).max() < 4
    assert abs(fit.significance) < 3
    with_bump = np.append(falling, rng.normal(175, 8, 1000))
    assert fit_sidebands(with_bump, edges, region).significance > 5


def test_more_signal_among_the_data_is_found_more_easily():
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1], [4000, 800])
    features = rng.normal(0, 1, (4800, 4)) + 1.5 * labels[:, None]
    values = injection_curve(features, labels, (0, 700), n_seeds=3)
    assert values.shape == (3, 2)
    assert values[:, 1].min() > 3
    assert values[:, 1] == pytest.approx(values[:, 1].mean(), rel=0.3)
    assert values[:, 0].mean() < values[:, 1].mean()
