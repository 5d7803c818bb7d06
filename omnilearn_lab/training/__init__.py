"""Train any model of this package: batches, losses, optimizers, one loop, run directories."""
# ruff: noqa: I001

from omnilearn_lab.training.batches import Batches, StreamConfig, StreamingBatches, select
from omnilearn_lab.training.distributed import Shard, default_device, process_group, processes_here
from omnilearn_lab.training.distributed import this_shard
from omnilearn_lab.training.heads import embed_jets
from omnilearn_lab.training.history import History
from omnilearn_lab.training.losses import Classification, FlavourTagging, FlowPretraining, Generation
from omnilearn_lab.training.losses import JointPretraining, NextToken, Objective, ParticleRegression
from omnilearn_lab.training.losses import Regression, Whole
from omnilearn_lab.training.optimizers import TrainConfig
from omnilearn_lab.training.runs import LaunchedRun, Run, attach, describe_environment, launch, read_progress
from omnilearn_lab.training.trainer import Trainer

__all__ = [
    "Batches", "Classification", "FlavourTagging", "FlowPretraining", "Generation", "History",
    "JointPretraining", "LaunchedRun", "NextToken", "Objective", "ParticleRegression", "Regression", "Run",
    "Shard", "StreamConfig", "StreamingBatches", "TrainConfig", "Trainer", "Whole", "attach",
    "default_device", "describe_environment", "embed_jets", "launch", "process_group", "processes_here",
    "read_progress", "select", "this_shard",
]  # fmt: skip
