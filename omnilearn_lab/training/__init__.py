"""Train any model of this package: batches, losses, optimizers, one loop, run directories."""

from omnilearn_lab.training.batches import Batches
from omnilearn_lab.training.config import TrainConfig
from omnilearn_lab.training.distributed import Shard, process_group, processes_here, this_shard
from omnilearn_lab.training.evaluation import default_device, evaluate
from omnilearn_lab.training.flow_losses import FlavourTagging, FlowGeneration, FlowPretraining
from omnilearn_lab.training.history import History
from omnilearn_lab.training.losses import Classification, Generation, JointPretraining, Objective, Regression
from omnilearn_lab.training.optimizers import Lion, cosine_schedule, make_optimizer, parameter_groups
from omnilearn_lab.training.run_table import RunSummary, RunTable, compare_runs
from omnilearn_lab.training.runs import Run, TrainingState, describe_environment
from omnilearn_lab.training.streaming import StreamConfig, StreamingBatches
from omnilearn_lab.training.trainer import Trainer
from omnilearn_lab.training.whole import Whole

__all__ = [
    "Batches",
    "Classification",
    "FlavourTagging",
    "FlowGeneration",
    "FlowPretraining",
    "Generation",
    "History",
    "JointPretraining",
    "Lion",
    "Objective",
    "Regression",
    "Run",
    "RunSummary",
    "RunTable",
    "Shard",
    "StreamConfig",
    "StreamingBatches",
    "TrainConfig",
    "Trainer",
    "TrainingState",
    "Whole",
    "compare_runs",
    "cosine_schedule",
    "default_device",
    "describe_environment",
    "evaluate",
    "make_optimizer",
    "parameter_groups",
    "process_group",
    "processes_here",
    "this_shard",
]
