"""ROC, rejection and significance figures agree with the metrics."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.errors import FigureError, MetricError
from omnilearn_lab.metrics import max_sic, roc
from omnilearn_lab.plotting import figure_data, rejection_vs_efficiency, roc_curves, sic_curves


def scores(seed, n=4000):
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], n)
    return rng.normal(0, 1, 2 * n) + 2 * labels, labels


def labels_of(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_roc_line_follows_the_curve():
    figure = roc_curves({"ours": scores(0)})
    curve, drawn = roc(*scores(0)), figure.axes[0].lines[0]
    expected = np.interp(drawn.get_ydata(), curve.signal_efficiency, curve.background_efficiency)
    np.testing.assert_allclose(drawn.get_xdata(), expected)
    assert f"AUC {curve.auc:.4f}" in labels_of(figure)[0]


def test_roc_over_seeds_quotes_mean_and_spread_and_draws_a_band():
    seeds = [scores(i) for i in range(3)]
    figure = roc_curves({"ours": seeds})
    areas = [roc(*seed).auc for seed in seeds]
    assert f"{np.mean(areas):.4f} ± {np.std(areas, ddof=1):.4f}" in labels_of(figure)[0]
    assert len(figure.axes[0].collections) == 1


def test_roc_accepts_weights_and_ready_curves():
    values, labels = scores(0)
    weights = np.random.default_rng(1).uniform(0.5, 2, len(values))
    figure = roc_curves({"ours": (values, labels, weights), "ready": roc(values, labels)})
    assert f"{roc(values, labels, weights=weights).auc:.4f}" in labels_of(figure)[0]
    assert f"{roc(values, labels).auc:.4f}" in labels_of(figure)[1]


def test_rejection_agrees_with_the_metric_at_one_efficiency():
    figure = rejection_vs_efficiency({"ours": scores(0)})
    table = figure_data(figure)["ours"]
    at_half = np.interp(0.5, table.independent[0].values, table.dependent[0].values)
    assert at_half == pytest.approx(roc(*scores(0)).rejection(0.5).value, rel=1e-6)
    assert figure.axes[0].get_yscale() == "log"


def test_rejection_starts_where_enough_background_passes():
    curve = roc(*scores(0))
    table = figure_data(rejection_vs_efficiency({"ours": curve}, min_background=10))["ours"]
    first = table.independent[0].values[0]
    assert np.interp(first, curve.signal_efficiency, curve.n_background_passed) >= 10
    assert table.dependent[0].values.max() <= curve.n_background / 10


def test_single_seed_has_the_binomial_uncertainty():
    table = figure_data(rejection_vs_efficiency({"ours": scores(0)}))["ours"]
    point = np.searchsorted(table.independent[0].values, 0.5)
    at = roc(*scores(0)).rejection(float(table.independent[0].values[point]))
    assert table.dependent[0].errors["stat"][point] == pytest.approx(at.uncertainty, rel=1e-6)


def test_published_points_are_where_they_belong():
    figure = rejection_vs_efficiency(
        {"ours": scores(0)}, published={"paper": [(0.3, 100.0, 5.0), (0.5, 40.0)]}
    )
    container = figure.axes[0].containers[0]
    np.testing.assert_allclose(container.lines[0].get_xydata(), [[0.3, 100], [0.5, 40]])
    np.testing.assert_allclose(figure_data(figure)["paper (published)"].dependent[0].errors["total"], [5, 0])


def test_axes_of_a_rejection_name_what_is_kept_and_rejected():
    ax = rejection_vs_efficiency({"ours": scores(0)}, names=("b-jet", "Light-jet")).axes[0]
    titles = ax.get_xlabel(), ax.get_ylabel()
    assert titles == (r"b-jet efficiency $\epsilon_S$", r"Light-jet rejection $1/\epsilon_B$")


def test_sic_quotes_the_largest_value_above_the_floor():
    figure = sic_curves({"ours": scores(0)})
    assert f"max {max_sic(roc(*scores(0))).value:.3g}" in labels_of(figure)[0]


@pytest.mark.parametrize("plot", [roc_curves, rejection_vs_efficiency, sic_curves])
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({}, FigureError, "empty"),
        ({"ours": []}, FigureError, "no repetition"),
        ({"ours": [([0.1], [1], [1.0], [1.0])]}, FigureError, "RocCurve"),
        ({"ours": ([0.1, 0.2], [1, 1])}, MetricError, "background"),
        ({"ours": ([0.5], [1])}, MetricError, "background"),
    ],
)
def test_bad_scores(plot, given, error, message):
    with pytest.raises(error, match=message):
        plot(given)


def test_too_little_background_says_so():
    with pytest.raises(FigureError, match="fewer than 10 background jets"):
        rejection_vs_efficiency({"ours": ([0.1, 0.4, 0.8], [0, 0, 1])})


def test_what_does_not_depend_on_the_seed_has_no_seeds_in_the_legend():
    many = {"frozen": [scores(0)] * 3, "PET": [scores(i) for i in range(3)]}
    for draw in (rejection_vs_efficiency, sic_curves, roc_curves):
        frozen, pet = labels_of(draw(many))[:2]
        assert "seeds" not in frozen and "±" not in frozen
        assert draw is roc_curves or "3 seeds" in pet
    frozen = figure_data(rejection_vs_efficiency(many))["frozen"]
    alone = figure_data(rejection_vs_efficiency({"frozen": scores(0)}))["frozen"]
    np.testing.assert_array_equal(frozen.dependent[0].errors["stat"], alone.dependent[0].errors["stat"])
