"""What only a GPU can show: its numbers are those of the CPU, memory runs out, everything runs for real."""

import copy

import pytest
import torch
from omnilearn_lab.models import (
    PET,
    JetInputs,
    PETConfig,
    SamplerConfig,
    load_checkpoint,
    sample,
    save_checkpoint,
)
from omnilearn_lab.training import JointPretraining, TrainConfig, Trainer
from tests.models.test_placement import COUNTS, NETWORKS, V1, N, gradients_of, jets
from tests.training.helpers import packed, small_model
from tests.training.test_placement import OBJECTIVES

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here"),
]
TOLERANCE = {"fp32": 1e-4, "tf32": 2e-2, "bf16": 0.1}  # of the largest number


@pytest.fixture(params=TOLERANCE)
def precision(request):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if request.param == "tf32" else "highest")
    yield request.param
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_gives_the_numbers_of_the_cpu(name, precision):
    torch.manual_seed(0)
    model, batch, _ = NETWORKS[name]()
    model.eval()
    here, there = batch, batch.pin_memory().to("cuda")
    has_classes = getattr(model.config, "has_classifier", True) if hasattr(model, "config") else True
    if not has_classes:
        pytest.skip("no classifier: its other calls draw noise, which the device draws otherwise")
    twin = copy.deepcopy(model).to("cuda")

    def classify(network, jets):
        mass = (jets.weight[::2],) if "mass" in name else ()
        with torch.autocast(jets.features.device.type, torch.bfloat16, enabled=precision == "bf16"):
            yield [network.classify(jets, *mass).logits]

    (one,), of_one = gradients_of(model, here, classify)
    (other,), of_other = gradients_of(
        twin, there, lambda n, j: ([v.cpu() for v in x] for x in classify(n, j))
    )
    tolerance = TOLERANCE[precision]
    assert (one - other).abs().max() <= tolerance * max(1.0, one.abs().max())
    largest = max(value.abs().max() for value in of_one.values())
    for key, expected in of_one.items():
        assert (of_other[key].cpu() - expected).abs().max() <= tolerance * largest, key


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_trains(name):
    objective, model, batch = OBJECTIVES[name]()
    config = TrainConfig(epochs=2, batch_size=16, ema_decay=0.9)
    history = Trainer(model.to("cuda"), objective, batch, batch, config).fit()
    assert all(value == value for value in history.column("loss"))


def test_samples_are_those_of_the_cpu():
    torch.manual_seed(0)
    model, told = PET(PETConfig(**V1)).eval(), JetInputs(COUNTS, jets().jet, jets().label)
    here = sample(model, told, config=SamplerConfig(4)).particles
    there = sample(copy.deepcopy(model).to("cuda"), told, config=SamplerConfig(4)).particles.cpu()
    assert here.shape == (N, 3)
    assert (here - there).abs().max() <= 1e-3 * here.abs().max()


def test_a_checkpoint_travels_there_and_back(tmp_path):
    model = small_model().to("cuda")
    again = load_checkpoint(save_checkpoint(model, tmp_path / "a.safetensors"))
    for name, value in again.state_dict().items():
        assert torch.equal(value, model.state_dict()[name].cpu())


def test_memory_that_runs_out_makes_smaller_parts():
    """A share of the memory is left to this process, in which the update does not fit at once."""
    torch.cuda.empty_cache()
    batch, model = packed(4096), small_model().to("cuda")
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, 400e6 / total))
    try:
        config = TrainConfig(epochs=1, batch_size=4096, validations_per_epoch=1)
        trainer = Trainer(model, JointPretraining(), batch, packed(64), config)
        trainer.fit()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert trainer.strategy.n_parts > 1
