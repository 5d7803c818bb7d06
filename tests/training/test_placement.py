"""Objectives and updates on a pretended accelerator: nothing waits for the device."""

import pytest
import torch
from benchmarks.pretended import Pretended
from omnilearn_lab.training import (
    Classification,
    FlavourTagging,
    FlowGeneration,
    FlowPretraining,
    Generation,
    JointPretraining,
    Regression,
    TrainConfig,
    Trainer,
)

from tests.training.helpers import packed, small_model, small_v2

pytestmark = pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")  # by deepcopy


def v2_jets():
    batch = packed(32, n_classes=4)
    rows = torch.randn(len(batch.features), 4)
    return batch.replace(features=rows, points=rows[:, :2], particle_label=torch.arange(len(rows)) % 4)


OBJECTIVES = {
    "classification": lambda: (Classification(), small_model(), packed(32)),
    "classification, regression": lambda: (Classification(jet_regression=1.0), small_model(), packed(32)),
    "classification, smoothed": lambda: (Classification(label_smoothing=0.1), small_model(), packed(32)),
    "classification, balanced": lambda: (Classification(balance=True), small_model(), packed(32)),
    "classification, kinds": lambda: (Classification(n_jet_classes=1), small_model(), packed(32)),
    "ratio": lambda: (Classification(), small_model(n_classes=1), packed(32)),
    "regression": lambda: (Regression(beta=0.5), small_v2("regression"), v2_jets()),
    "generation": lambda: (Generation(), small_model(), packed(32)),
    "joint": lambda: (JointPretraining(), small_model(), packed(32)),
    "joint, one alpha": lambda: (JointPretraining(alpha="batch"), small_model(), packed(32)),
    "flow": lambda: (FlowGeneration(), small_v2("generator"), v2_jets()),
    "flow, joint": lambda: (FlowPretraining(), small_v2("pretrain"), v2_jets()),
    "flow, contrastive": lambda: (FlowPretraining(contrastive=1.0), small_v2("pretrain"), v2_jets()),
    "flavour": lambda: (FlavourTagging(), small_v2("ftag"), v2_jets()),
}
CONFIGS = {
    "plain": {},
    "adamw, averages, no clipping": {"optimizer": "adamw", "ema_decay": 0.9, "clip_norm": 0.0},
    "parts": {"accumulate": 2},
    "heads": {"trainable": "heads"},
    "adapters": {"trainable": "adapters", "adapter_rank": 2},
}


def update(objective, model, jets, **changes):
    config = TrainConfig(**{"epochs": 2, "batch_size": 16, "ema_decay": 0.9, **changes})
    with Pretended() as run:
        trainer = Trainer(model.to(run.device), objective, jets, jets, config)
        run.names.clear()
        for step in range(2):
            terms = trainer.update(step)
        assert {term.device for term in terms.values()} == {run.device}
        trainer.feed.close()
    return run


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_update_of_every_objective_waits_for_nothing(name):
    run = update(*OBJECTIVES[name]())
    assert run.waits == 0 and run.launches > 0, run.names


@pytest.mark.parametrize("name", CONFIGS)
def test_an_update_of_every_kind_waits_for_nothing(name):
    run = update(*OBJECTIVES["classification"](), **CONFIGS[name])
    assert run.waits == 0, run.names
