"""Front door: estimators over jets with scikit-learn's conventions: three lines fine-tune, one predicts."""

from omnilearn_lab.estimators.base import Inputs, load_estimator
from omnilearn_lab.estimators.export import export_onnx
from omnilearn_lab.estimators.generator import PETGenerator
from omnilearn_lab.estimators.networks import PETClassifier, PETRegressor
from omnilearn_lab.estimators.ratios import OmniFold, Reweighter, WeakSupervision

__all__ = [
    "Inputs", "OmniFold", "PETClassifier", "PETGenerator", "PETRegressor", "Reweighter", "WeakSupervision",
    "export_onnx", "load_estimator",
]  # fmt: skip
