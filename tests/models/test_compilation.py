"""Whole networks pass the compiler as one graph, and few programs serve batches of every size."""

import pytest
import torch
from omnilearn_lab.models import PET, Batch, PETConfig, PETv2, PETv2Config, perturb, perturb_flow
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn import functional

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the compiler itself

SIZES = {"width": 8, "n_layers": 1, "n_heads": 2, "n_classes": 3}
V1 = SIZES | {"n_edge_layers": 1, "n_class_layers": 1, "n_generator_layers": 1, "layer_scale": 0.1}
V2 = SIZES | {"n_head_layers": 1}


def jets(seed, n_features):
    """Eight jets of up to 39 particles, as an accelerator gets them."""
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(1, 40, (8,), generator=generator)
    offsets = functional.pad(counts.cumsum(0), (1, 0))
    rows = torch.randn(int(offsets[-1]), n_features, generator=generator)
    jet, label = torch.randn(8, 4, generator=generator), torch.randint(0, 3, (8,), generator=generator)
    return Batch(rows, rows[:, :2], offsets, jet, label).planned(one_block=True)


def loss_of_pet(model, batch, time):
    noisy = perturb(batch, time, torch.ones(len(batch.features), 3))
    output = model.joint(batch, noisy.batch, time, batch.label)
    return output.clean.logits.square().mean() + (output.velocity - noisy.target).square().mean()


def loss_of_pet_v2(model, batch, time):
    noisy = perturb_flow(batch, time, torch.ones_like(batch.features))
    output = model.joint(batch, noisy.batch, time, batch.label)
    return output.clean.logits.square().mean() + (output.velocity - noisy.target).square().mean()


CASES = {
    "PET": (lambda: PET(PETConfig(**V1)), 13, loss_of_pet),
    "PET v2": (lambda: PETv2(PETv2Config(mode="pretrain", **V2)), 4, loss_of_pet_v2),
}


@pytest.mark.parametrize("backend", ["eager", pytest.param("aot_eager", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", CASES)
def test_body_and_heads_are_one_graph_for_all_sizes(name, backend):
    """One program for the first batch, and one for all others: the compiler learns which sizes change."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    make, n_features, loss = CASES[name]
    model, counter = make().eval(), CompileCounterWithBackend(backend)
    compiled = torch.compile(loss, fullgraph=True, backend=counter)
    time, lengths = torch.linspace(0.1, 0.9, 8), set()
    for seed in range(3):
        batch = jets(seed, n_features)
        lengths.add(batch.packing.groups[0].length)
        results = []
        for function in (compiled, loss):
            model.zero_grad()
            value = function(model, batch, time)
            value.backward()
            results.append([value, *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
        for ours, expected in zip(*results, strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
    assert len(lengths) > 1
    assert counter.frame_count <= 3
