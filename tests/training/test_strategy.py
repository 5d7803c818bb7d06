import pytest
import torch
from omnilearn_lab.errors import TrainingError
from omnilearn_lab.training import Batches, Classification, JointPretraining, TrainConfig, Trainer
from omnilearn_lab.training.distributed import LossModule
from omnilearn_lab.training.losses import seeded
from omnilearn_lab.training.strategy import compile_layers, evaluate

from tests.training.helpers import packed, small_model, small_v2


@pytest.mark.parametrize("objective", [Classification(), Classification(balance=True)], ids=repr)
def test_the_mean_does_not_depend_on_the_batch_size(objective):
    jets, model = packed(50).replace(weight=torch.linspace(0.1, 3, 50)), small_model()
    one, many = (evaluate(LossModule(model, objective), Batches(jets, size)) for size in (50, 16))
    for name in one:
        assert many[name] == pytest.approx(one[name], rel=1e-5)


def test_noise_is_the_same_every_time_and_the_mode_stays():
    model = small_model().train()
    first, second = (
        evaluate(LossModule(model, JointPretraining()), Batches(packed(20), 8)) for _ in range(2)
    )
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


CONFIG = TrainConfig(epochs=1, batch_size=16, compile=True, ema_decay=0.9)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the translator's own
def test_compiled_training_follows_the_plain_one():
    curves = [
        Trainer(small_model(), Classification(), packed(), packed(16), config).fit().val_loss
        for config in (CONFIG, TrainConfig(**{**vars(CONFIG), "compile": False}))
    ]
    assert curves[0].tolist() == pytest.approx(curves[1].tolist(), rel=1e-4)


@pytest.mark.parametrize("model", [small_model(), small_v2()], ids=["PET", "PETv2"])
def test_names_of_parameters_stay(model, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    before = list(model.state_dict())
    names = compile_layers(model)
    assert [n for n in names if n.startswith("body.blocks")]
    assert list(model.state_dict()) == before


def test_machines_without_compiler_are_told(monkeypatch):
    def fail(function):
        raise RuntimeError("No working C++ compiler found\nlong story")

    monkeypatch.setattr(torch, "compile", fail)
    with pytest.raises(TrainingError, match=r"No working C\+\+ compiler found.*compile=False"):
        compile_layers(small_model())
