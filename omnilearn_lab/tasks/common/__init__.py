"""What all tasks share: choose a network and its weights, train it, predict, and compare over seeds."""
# ruff: noqa: I001

from omnilearn_lab.tasks.common.classification import ClassifierData, ClassifierResult, predict
from omnilearn_lab.tasks.common.classification import train_classifier
from omnilearn_lab.tasks.common.classifiers import ClassifierComparisonSettings, FrozenSettings, LearningCurve
from omnilearn_lab.tasks.common.classifiers import compare_classifiers, train_classifiers, train_frozen
from omnilearn_lab.tasks.common.classifiers import train_learning_curve
from omnilearn_lab.tasks.common.comparison import Arm, Comparison, ComparisonRecord, ComparisonSettings
from omnilearn_lab.tasks.common.comparison import compare, published_numbers
from omnilearn_lab.tasks.common.heads import Rows, fit_head
from omnilearn_lab.tasks.common.networks import ClassifierSettings, describe_checkpoint, embed
from omnilearn_lab.tasks.common.networks import load_classifier, load_trained, make_model, network_batch
from omnilearn_lab.tasks.common.networks import network_of
from omnilearn_lab.tasks.common.regression import RegressionData, Redrawn, compare_regressors

__all__ = [
    "Arm", "ClassifierComparisonSettings", "ClassifierData", "ClassifierResult", "ClassifierSettings",
    "Comparison", "ComparisonRecord", "ComparisonSettings", "FrozenSettings", "LearningCurve",
    "Redrawn", "RegressionData", "Rows", "compare", "compare_classifiers", "compare_regressors",
    "describe_checkpoint", "embed", "fit_head", "load_classifier", "load_trained", "make_model",
    "network_batch", "network_of", "predict", "published_numbers", "train_classifier",
    "train_classifiers", "train_frozen", "train_learning_curve",
]  # fmt: skip
