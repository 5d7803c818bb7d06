import pytest
import torch
from omnilearn_lab.training import Batches, Classification, JointPretraining, evaluate
from omnilearn_lab.training.evaluation import seeded

from tests.training.helpers import packed, small_model


@pytest.mark.parametrize("objective", [Classification(), Classification(balance=True)], ids=repr)
def test_the_mean_does_not_depend_on_the_batch_size(objective):
    jets, model = packed(50).replace(weight=torch.linspace(0.1, 3, 50)), small_model()
    one, many = (evaluate(model, objective, Batches(jets, size)) for size in (50, 16))
    for name in one:
        assert many[name] == pytest.approx(one[name], rel=1e-5)


def test_noise_is_the_same_every_time_and_the_mode_stays():
    model = small_model().train()
    first, second = (evaluate(model, JointPretraining(), Batches(packed(20), 8)) for _ in range(2))
    assert first == second
    assert model.training


def test_seeded_draws_leave_the_global_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with seeded(1, 1, torch.device("cpu")):
        inside = torch.rand(2)
    assert torch.equal(torch.rand(2), expected)
    assert not torch.equal(inside, expected)
