"""Train any model of this package: batches, losses, optimizers, one loop, run directories."""

from omnilearn_lab.training.batches import Batches
from omnilearn_lab.training.config import TrainConfig
from omnilearn_lab.training.history import History
from omnilearn_lab.training.losses import Classification, Generation, JointPretraining, Objective
from omnilearn_lab.training.optimizers import Lion, cosine_schedule, make_optimizer, parameter_groups
from omnilearn_lab.training.runs import Run, TrainingState, describe_environment
from omnilearn_lab.training.streaming import Shard, StreamConfig, StreamingBatches
from omnilearn_lab.training.trainer import Trainer, default_device, evaluate

__all__ = [
    "Batches",
    "Classification",
    "Generation",
    "History",
    "JointPretraining",
    "Lion",
    "Objective",
    "Run",
    "Shard",
    "StreamConfig",
    "StreamingBatches",
    "TrainConfig",
    "Trainer",
    "TrainingState",
    "cosine_schedule",
    "default_device",
    "describe_environment",
    "evaluate",
    "make_optimizer",
    "parameter_groups",
]
