"""Score, confusion and calibration figures."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.errors import FigureError, MetricError
from omnilearn_lab.metrics import calibration_curve
from omnilearn_lab.metrics import confusion_matrix as count_confusions
from omnilearn_lab.plotting import calibration, confusion_matrix, figure_data, score_histograms


def test_confusion_cells_are_row_fractions():
    figure = confusion_matrix([[8, 2], [1, 9]], class_names=["QCD", "top"])
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.texts] == ["0.80", "0.20", "0.10", "0.90"]
    np.testing.assert_allclose(ax.images[0].get_array(), [[0.8, 0.2], [0.1, 0.9]])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["QCD", "top"]
    table = figure_data(figure)["confusion matrix"]
    assert table.dependent[1].values.tolist() == [8, 2, 1, 9]


def test_confusion_text_contrasts_with_its_cell():
    ax = confusion_matrix([[9, 1], [1, 9]]).axes[0]
    assert [t.get_color() for t in ax.texts] == ["white", "black", "black", "white"]


def test_confusion_takes_the_metric_and_many_classes():
    rng = np.random.default_rng(0)
    matrix = count_confusions(rng.random((200, 10)), rng.integers(0, 10, 200))
    figure = confusion_matrix(matrix)
    assert len(figure.axes[0].texts) == 100
    figure.draw_without_rendering()


def test_class_without_jets_has_a_row_of_zeros():
    assert confusion_matrix([[0, 0], [1, 1]]).axes[0].texts[0].get_text() == "0.00"


@pytest.mark.parametrize(
    ("matrix", "names", "message"),
    [
        ([[1, 2]], (), "shape"),
        ([], (), "shape"),
        ([[1, -1], [0, 1]], (), "negative"),
        ([[1]], ("a", "b"), "2 class"),
    ],
)
def test_bad_confusions(matrix, names, message):
    with pytest.raises(FigureError, match=message):
        confusion_matrix(matrix, class_names=names)


def test_calibration_draws_the_curve_of_the_metric():
    rng = np.random.default_rng(0)
    predicted = rng.random(500)
    labels = rng.random(500) < predicted
    figure = calibration({"ours": (predicted, labels)}, n_bins=5)
    curve = calibration_curve(predicted, labels, n_bins=5)
    line = figure.axes[0].containers[0].lines[0]
    np.testing.assert_allclose(line.get_xydata(), np.stack([curve.predicted, curve.observed], axis=1))
    assert (
        f"ECE {curve.expected_calibration_error:.3f}" in figure.axes[0].get_legend().get_texts()[0].get_text()
    )


def test_calibration_leaves_empty_bins_out():
    table = figure_data(calibration({"ours": ([0.1, 0.9], [0, 1])}, n_bins=10))["ours"]
    assert len(table.independent[0]) == 2


def test_calibration_refuses_logits_and_nonsense():
    with pytest.raises(MetricError, match="softmax"):
        calibration({"ours": ([3.0, -1.0], [1, 0])})
    with pytest.raises(FigureError, match="must be"):
        calibration({"ours": 3})
    with pytest.raises(FigureError, match="empty"):
        calibration({})


def test_scores_are_binned_between_zero_and_one():
    figure = score_histograms({"QCD": [0.1, 0.2], "top": [0.9]})
    assert figure.axes[0].get_xlim() == (0, 1)
    assert figure.axes[0].get_yscale() == "log"
    assert len(figure_data(figure)["QCD"].independent[0]) == 40
