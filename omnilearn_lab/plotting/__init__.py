"""Figures in the style of particle-physics papers, from plain arrays, ``hist`` objects and results.

Every function takes numbers, labels its axes with units, returns a matplotlib ``Figure`` that pyplot does not
know, and saves nothing; `save_figure` and `export_figure_data` do that.
"""
# ruff: noqa: I001

from omnilearn_lab.plotting.classification import rejection_vs_efficiency, roc_curves, sic_curves
from omnilearn_lab.plotting.data import export_figure_data, figure_data
from omnilearn_lab.plotting.distributions import COMPARISON, HistogramOptions, observable_distributions
from omnilearn_lab.plotting.distributions import observable_grid, reweighting_comparison, unfolding_comparison
from omnilearn_lab.plotting.figure import save_figure
from omnilearn_lab.plotting.histograms import HistogramAxis, observable_axes
from omnilearn_lab.plotting.jets import diffusion_trajectory, jet_display, jet_image_average
from omnilearn_lab.plotting.scores import calibration, confusion_matrix, embedding_map, score_histograms
from omnilearn_lab.plotting.scores import working_point_figure
from omnilearn_lab.plotting.searches import mass_spectrum, sic_against_injection
from omnilearn_lab.plotting.style import house_style, source_label
from omnilearn_lab.plotting.tables import metric_bars, published_vs_ours
from omnilearn_lab.plotting.training import loss_curves, scaling_curve

__all__ = [
    "COMPARISON", "HistogramAxis", "HistogramOptions", "calibration", "confusion_matrix",
    "diffusion_trajectory", "embedding_map", "export_figure_data", "figure_data", "house_style",
    "jet_display", "jet_image_average", "loss_curves", "mass_spectrum", "metric_bars", "observable_axes",
    "observable_distributions", "observable_grid", "published_vs_ours", "rejection_vs_efficiency",
    "reweighting_comparison", "roc_curves", "save_figure", "scaling_curve", "score_histograms",
    "sic_against_injection", "sic_curves", "source_label", "unfolding_comparison", "working_point_figure",
]  # fmt: skip
