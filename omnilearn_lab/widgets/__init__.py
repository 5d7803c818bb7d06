"""Interactive views over the figures of :mod:`omnilearn_lab.plotting`; every one also has a static form."""

from omnilearn_lab.widgets.loss_comparison import LossComparison

__all__ = ["LossComparison"]
