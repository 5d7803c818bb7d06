"""The public surface of the room."""

from __future__ import annotations

import inspect

import omnilearn_lab.plotting as plotting
from omnilearn_lab.plotting.data import titled_column

FIGURES = {
    "calibration",
    "confusion_matrix",
    "diffusion_trajectory",
    "jet_display",
    "jet_image_average",
    "loss_curves",
    "mass_spectrum",
    "metric_bars",
    "observable_distributions",
    "observable_grid",
    "published_vs_ours",
    "rejection_vs_efficiency",
    "reweighting_comparison",
    "roc_curves",
    "scaling_curve",
    "score_histograms",
    "sic_against_injection",
    "sic_curves",
    "unfolding_comparison",
    "working_point_figure",
}


def figure_functions():
    functions = {
        n: getattr(plotting, n) for n in plotting.__all__ if inspect.isfunction(getattr(plotting, n))
    }
    return {
        name
        for name, f in functions.items()
        if inspect.signature(f).return_annotation in ("Figure", "PaperFigure")
    }


def test_public_figure_functions_are_pinned():
    assert figure_functions() == FIGURES


def test_every_figure_function_takes_a_source():
    for name in FIGURES:
        assert "source" in inspect.signature(getattr(plotting, name)).parameters, name


def test_titles_split_into_name_and_unit():
    column = titled_column("Training time [s]", [1.0])
    assert (column.name, column.unit) == ("Training time", "s")
    assert titled_column("AUC", [1.0]).unit == ""
