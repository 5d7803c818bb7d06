"""Interactive views over the figures of :mod:`omnilearn_lab.plotting`; every one also has a static form."""

from omnilearn_lab.widgets.catalog_browser import CatalogBrowser
from omnilearn_lab.widgets.jet_viewer import JetViewer
from omnilearn_lab.widgets.loss_comparison import LossComparison
from omnilearn_lab.widgets.roc_explorer import RocExplorer
from omnilearn_lab.widgets.run_browser import RunBrowser

__all__ = ["CatalogBrowser", "JetViewer", "LossComparison", "RocExplorer", "RunBrowser"]
