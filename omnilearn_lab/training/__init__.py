"""Train any model of this package: batches, losses, optimizers, one loop, run directories."""

from omnilearn_lab.training.batches import Batches, select
from omnilearn_lab.training.config import TrainConfig
from omnilearn_lab.training.distributed import (
    Shard,
    default_device,
    process_group,
    processes_here,
    this_shard,
)
from omnilearn_lab.training.heads import embed_jets
from omnilearn_lab.training.history import History
from omnilearn_lab.training.launching import LaunchedRun, attach, launch
from omnilearn_lab.training.losses import (
    Classification,
    FlavourTagging,
    FlowPretraining,
    Generation,
    JointPretraining,
    Objective,
    ParticleRegression,
    Regression,
)
from omnilearn_lab.training.parts import Whole
from omnilearn_lab.training.runs import Run, describe_environment, read_progress
from omnilearn_lab.training.streaming import StreamConfig, StreamingBatches
from omnilearn_lab.training.trainer import Trainer

__all__ = [
    "Batches", "Classification", "FlavourTagging", "FlowPretraining", "Generation", "History",
    "JointPretraining", "LaunchedRun", "Objective", "ParticleRegression", "Regression", "Run", "Shard",
    "StreamConfig", "StreamingBatches", "TrainConfig", "Trainer", "Whole", "attach", "default_device",
    "describe_environment", "embed_jets", "launch", "process_group", "processes_here", "read_progress",
    "select", "this_shard",
]  # fmt: skip
