"""Figures in the style of particle-physics papers, from plain arrays, ``hist`` objects and results.

Every function takes numbers, labels its axes with units, returns a matplotlib ``Figure`` that pyplot does not
know, and saves nothing; `save_figure` and `export_figure_data` do that.
"""

from omnilearn_lab.plotting.bands import Band, band_of
from omnilearn_lab.plotting.classification import rejection_vs_efficiency, roc_curves, sic_curves
from omnilearn_lab.plotting.data import Column, FigureData, Table, attach_data, figure_data
from omnilearn_lab.plotting.diffusion import diffusion_trajectory
from omnilearn_lab.plotting.distributions import HistogramOptions, observable_distributions, observable_grid
from omnilearn_lab.plotting.export import export_figure_data, read_figure_data, save_figure
from omnilearn_lab.plotting.figure import PaperFigure
from omnilearn_lab.plotting.histograms import FilledHistogram, HistogramAxis, fill_histogram
from omnilearn_lab.plotting.jets import jet_display, jet_image_average
from omnilearn_lab.plotting.scores import calibration, confusion_matrix, score_histograms
from omnilearn_lab.plotting.searches import mass_spectrum, sic_against_injection
from omnilearn_lab.plotting.style import (
    PALETTE,
    PARTICLE_LEVEL,
    PUBLISHED,
    SIMULATED,
    experiment_label,
    house_style,
    source_label,
    style_path,
)
from omnilearn_lab.plotting.tables import Measured, measured, metric_bars, published_vs_ours
from omnilearn_lab.plotting.training import loss_curves, scaling_curve
from omnilearn_lab.plotting.unfolding import (
    COMPARISON,
    observable_axes,
    reweighting_comparison,
    unfolding_comparison,
)
from omnilearn_lab.plotting.working_point import WorkingPoint, working_point, working_point_figure

__all__ = [
    "COMPARISON",
    "PALETTE",
    "PARTICLE_LEVEL",
    "PUBLISHED",
    "SIMULATED",
    "Band",
    "Column",
    "FigureData",
    "FilledHistogram",
    "HistogramAxis",
    "HistogramOptions",
    "Measured",
    "PaperFigure",
    "Table",
    "WorkingPoint",
    "attach_data",
    "band_of",
    "calibration",
    "confusion_matrix",
    "diffusion_trajectory",
    "experiment_label",
    "export_figure_data",
    "figure_data",
    "fill_histogram",
    "house_style",
    "jet_display",
    "jet_image_average",
    "loss_curves",
    "mass_spectrum",
    "measured",
    "metric_bars",
    "observable_axes",
    "observable_distributions",
    "observable_grid",
    "published_vs_ours",
    "read_figure_data",
    "rejection_vs_efficiency",
    "reweighting_comparison",
    "roc_curves",
    "save_figure",
    "scaling_curve",
    "score_histograms",
    "sic_against_injection",
    "sic_curves",
    "source_label",
    "style_path",
    "unfolding_comparison",
    "working_point",
    "working_point_figure",
]
