"""TODO."""

from omnilearn_lab.tasks.common.classification import (
    ClassifierData,
    ClassifierResult,
    predict,
    train_classifier,
)
from omnilearn_lab.tasks.common.comparison import CompareConfig, Comparison, compare
from omnilearn_lab.tasks.common.differences import gain_table, seed_table
from omnilearn_lab.tasks.common.learning_curve import LearningCurve, train_learning_curve
from omnilearn_lab.tasks.common.networks import (
    ClassifierSettings,
    describe_checkpoint,
    load_classifier,
    make_model,
    network_batch,
    network_of,
)
from omnilearn_lab.tasks.common.records import ComparisonRecord, published_numbers, read_results
from omnilearn_lab.tasks.common.trained import load_trained
from omnilearn_lab.tasks.common.trainings import train_many

__all__ = [
    "ClassifierData", "ClassifierResult", "ClassifierSettings", "CompareConfig", "Comparison",
    "ComparisonRecord", "LearningCurve", "compare", "describe_checkpoint", "gain_table",
    "load_classifier", "load_trained", "make_model", "network_batch", "network_of", "predict",
    "published_numbers", "read_results", "seed_table", "train_classifier", "train_learning_curve",
    "train_many",
]  # fmt: skip
