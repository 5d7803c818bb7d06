"""Objectives and updates on a pretended accelerator: nothing waits for the device."""

import contextlib

import pytest
import torch
import torch.distributed as dist
from benchmarks.pretended import NAME, Pretended
from omnilearn_lab.models.baselines import TokenTransformer, TokenTransformerConfig
from omnilearn_lab.training import (
    Batches,
    Classification,
    FlavourTagging,
    FlowPretraining,
    Generation,
    JointPretraining,
    NextToken,
    Regression,
    TrainConfig,
    Trainer,
    distributed,
)
from omnilearn_lab.training.batches import Feed
from omnilearn_lab.training.losses import FlowGeneration
from torch.nn.parallel import DistributedDataParallel
from torch.testing._internal.distributed.fake_pg import FakeStore

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
    "flow, masked": lambda: (FlowPretraining(masked=1.0), small_v2("pretrain", n_codes=8), v2_jets()),
    "next token": lambda: (NextToken(), TokenTransformer(TokenTransformerConfig(8, width=16)), v2_jets()),
    "flavour": lambda: (FlavourTagging(), small_v2("ftag"), v2_jets()),
}
CONFIGS = {
    "plain": {},
    "adamw, averages, no clipping": {"optimizer": "adamw", "ema_decay": 0.9, "clip_norm": 0.0},
    "parts": {"accumulate": 2},
    "heads": {"trainable": "heads"},
    "adapters": {"trainable": "adapters", "adapter_rank": 2},
    "head first": {"head_updates": 1, "layer_decay": 0.5},
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


def test_the_next_update_is_prepared_on_the_host():
    batches = Batches(packed(), 16, seed=3)
    with Pretended() as run:
        feed = Feed(batches, run.device)
        present = feed.take(0, 2).parts
        ahead = feed._next[1, 2].result().parts
        following = feed.take(1, 2).parts
        feed.close()
    for parts, step in ((present, 0), (ahead, 1), (following, 1)):
        counts = batches.batch(step).counts.split(8)
        assert [(len(p), len(p.features)) for p in parts] == [(8, int(c.sum())) for c in counts]
    assert {part.features.device.type for part in present + following} == {NAME}
    assert {part.features.device.type for part in ahead} == {"cpu"} and ahead[0].packing.one_block


class Queue(contextlib.nullcontext):
    """A stream or event of a pretended device: that one waits for another is no wait of the host."""

    def __init__(self, *_, **__):
        super().__init__()

    def record_event(self, *_):
        return self

    record = wait_stream = wait_event = record_event


class Replicated(DistributedDataParallel):
    """Gradients are averaged, and nothing looks at values or waits for an answer, which nobody gives."""

    def __init__(self, module):
        super().__init__(module, init_sync=False)
        self.register_comm_hook(None, self.average)

    @staticmethod
    def average(group, bucket):
        dist.all_reduce(bucket.buffer())
        done = torch.futures.Future()
        done.set_result(bucket.buffer())
        return done


@pytest.fixture
def four_ranks(monkeypatch):
    """The second of four processes; the others are pretended like its device."""
    with Pretended():
        backend = torch.pretended
    about = {"Stream": Queue, "Event": Queue, "stream": Queue, "current_stream": Queue, "device": Queue}
    about |= {"current_device": lambda: 0, "set_device": lambda _: None}
    for name, value in about.items():
        monkeypatch.setattr(backend, name, value, raising=False)
    monkeypatch.setattr(distributed, "DistributedDataParallel", Replicated)
    dist.init_process_group("fake", store=FakeStore(), rank=1, world_size=4)
    yield
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore")  # PyTorch's own
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
@pytest.mark.parametrize("name", ["classification, balanced", "flavour"])
def test_several_processes_do_not_wait_for_their_devices(four_ranks, name, parallel):
    objective, model, jets = OBJECTIVES[name]()
    config = TrainConfig(epochs=3, batch_size=32, ema_decay=0.9, parallel=parallel, accumulate=2)
    waits = []
    with Pretended() as run:
        one = Trainer(model.to(run.device), objective, jets, jets, config)
        run.names.clear()
        for step in range(3):
            before = run.waits
            terms = one.update(step)
            waits.append(run.waits - before)
        assert {term.device for term in terms.values()} == {run.device}
        one.feed.close()
    assert run.names[{"ddp": "allreduce_", "fsdp": "_reduce_scatter_base_"}[parallel]] >= 3
    assert waits[0] == waits[2] == 0  # DDP sorts its buckets anew before the second update, once
