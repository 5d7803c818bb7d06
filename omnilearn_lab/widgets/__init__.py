"""Interactive views over the figures of `omnilearn_lab.plotting`; every one also has a static form."""

from omnilearn_lab.widgets.catalog_browser import CatalogBrowser
from omnilearn_lab.widgets.cuts import RocExplorer, ScoredEvents, SicExplorer
from omnilearn_lab.widgets.explorer import Explored, Explorer
from omnilearn_lab.widgets.jets import DiffusionPlayer, JetViewer
from omnilearn_lab.widgets.training import LossComparison, RunBrowser, TrainingMonitor
from omnilearn_lab.widgets.weights import ReweightingExplorer, UnfoldingExplorer

__all__ = [
    "CatalogBrowser", "DiffusionPlayer", "Explored", "Explorer", "JetViewer", "LossComparison",
    "ReweightingExplorer", "RocExplorer", "RunBrowser", "ScoredEvents", "SicExplorer", "TrainingMonitor",
    "UnfoldingExplorer",
]  # fmt: skip
