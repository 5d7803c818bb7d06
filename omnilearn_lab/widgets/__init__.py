"""Interactive views over the figures of `omnilearn_lab.plotting`; every one also has a static form."""

from omnilearn_lab.widgets.catalog_browser import CatalogBrowser
from omnilearn_lab.widgets.diffusion_player import DiffusionPlayer
from omnilearn_lab.widgets.jet_viewer import JetViewer
from omnilearn_lab.widgets.loss_comparison import LossComparison
from omnilearn_lab.widgets.reweighting_explorer import ReweightingExplorer
from omnilearn_lab.widgets.roc_explorer import RocExplorer
from omnilearn_lab.widgets.run_browser import RunBrowser
from omnilearn_lab.widgets.sic_explorer import ScoredEvents, SicExplorer
from omnilearn_lab.widgets.training_monitor import TrainingMonitor
from omnilearn_lab.widgets.unfolding_explorer import UnfoldingExplorer

__all__ = [
    "CatalogBrowser",
    "DiffusionPlayer",
    "JetViewer",
    "LossComparison",
    "ReweightingExplorer",
    "RocExplorer",
    "RunBrowser",
    "ScoredEvents",
    "SicExplorer",
    "TrainingMonitor",
    "UnfoldingExplorer",
]
