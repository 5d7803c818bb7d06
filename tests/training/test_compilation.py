import pytest
import torch
from omnilearn_lab.errors import TrainingError
from omnilearn_lab.training import Classification, TrainConfig, Trainer
from omnilearn_lab.training.compilation import compile_layers

from tests.training.helpers import packed, small_model, small_v2

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
