"""Figures in the style of particle-physics papers, from plain arrays, ``hist`` objects and results.

Every function takes numbers, labels its axes with units, returns a matplotlib ``Figure`` that pyplot does not
know, and saves nothing; :func:`save_figure` and :func:`export_figure_data` do that.
"""

from omnilearn_lab.plotting.bands import Band, band_of
from omnilearn_lab.plotting.classification import rejection_vs_efficiency, roc_curves, sic_curves
from omnilearn_lab.plotting.data import Column, FigureData, Table, attach_data, figure_data
from omnilearn_lab.plotting.distributions import HistogramOptions, observable_distributions, observable_grid
from omnilearn_lab.plotting.export import export_figure_data, read_figure_data, save_figure
from omnilearn_lab.plotting.figure import PaperFigure
from omnilearn_lab.plotting.histograms import FilledHistogram, HistogramAxis, fill_histogram
from omnilearn_lab.plotting.jets import jet_display, jet_image_average
from omnilearn_lab.plotting.style import (
    PALETTE,
    PUBLISHED,
    SIMULATED,
    experiment_label,
    house_style,
    source_label,
    style_path,
)
from omnilearn_lab.plotting.training import loss_curves, scaling_curve

__all__ = [
    "PALETTE",
    "PUBLISHED",
    "SIMULATED",
    "Band",
    "Column",
    "FigureData",
    "FilledHistogram",
    "HistogramAxis",
    "HistogramOptions",
    "PaperFigure",
    "Table",
    "attach_data",
    "band_of",
    "experiment_label",
    "export_figure_data",
    "figure_data",
    "fill_histogram",
    "house_style",
    "jet_display",
    "jet_image_average",
    "loss_curves",
    "observable_distributions",
    "observable_grid",
    "read_figure_data",
    "rejection_vs_efficiency",
    "roc_curves",
    "save_figure",
    "scaling_curve",
    "sic_curves",
    "source_label",
    "style_path",
]
