import pytest
import torch
from omnilearn_lab.tasks.generation.sampling import Distillation, DistillConfig
from omnilearn_lab.training import TrainConfig, Trainer
from tests.training.helpers import packed, small_model


def test_a_batch_in_parts_teaches_the_same():
    """Times and noise are those of the whole batch, and jets weigh as much."""
    jets = packed().replace(weight=torch.linspace(0.1, 2.0, 64))
    teacher, gradients, losses = small_model(3).eval(), [], []
    for accumulate in (1, 4):
        config = TrainConfig(epochs=1, batch_size=32, accumulate=accumulate)
        one = Trainer(small_model(), Distillation(teacher, DistillConfig()), jets, packed(16), config)
        losses.append(float(one.gradients(0)["loss"]))
        gradients.append(torch.cat([p.grad.ravel() for p in one.model.parameters() if p.grad is not None]))
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    torch.testing.assert_close(*gradients, atol=1e-5 * float(gradients[0].abs().max()), rtol=0)
