"""How weights move."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from omnilearn_lab.errors import ConfigError, TrainingError
from omnilearn_lab.models.published import published_name
from omnilearn_lab.settings import from_mapping, to_mapping
from omnilearn_lab.training import TrainConfig
from omnilearn_lab.training.optimizers import (
    LearningRate,
    Lion,
    MovingAverage,
    make_optimizer,
    optimizer_tensors,
    parameter_groups,
    restore_optimizer,
)
from torch import nn
from torch.nn import functional

from tests.models.test_pet_v2 import load_case, make_batch, needs_fixtures
from tests.training.helpers import small_model


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"learning_rate": -1.0}, "learning_rate is -1"),
        ({"optimizer": "sgd"}, "adamw, lion"),
        ({"precision": "fp16"}, "bf16, fp32"),
        ({"trainable": "tail"}, "adapters, all, heads"),
        ({"ema_decay": 1.0}, "ema_decay is 1.0"),
        ({"betas": (0.9, 1.0)}, "betas"),
        ({"betas": (0.9,)}, "betas"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"layer_decay": 0.0}, "layer_decay is 0.0"),
        ({"head_updates": -1}, "head_updates is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"final_lr_fraction": 1.5}, "final_lr_fraction is 1.5"),
        ({"batch_size": 10, "accumulate": 3}, "not a multiple of accumulate 3"),
        ({"adapter_rank": 0}, "adapter_rank is 0"),
        ({"records_per_validation": 0}, "records_per_validation is 0"),
    ],
)
def test_values_outside_their_domain(changes, message):
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**changes)


def test_yaml_and_keywords_make_the_same_object():
    config = TrainConfig(epochs=3, betas=(0.9, 0.98), trainable="adapters")
    assert from_mapping(TrainConfig, to_mapping(config)) == config


def test_unknown_keys_name_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'learning_rate'"):
        from_mapping(TrainConfig, {"learning_rat": 1e-3})


def one_weight(value=1.0):
    return torch.nn.Parameter(torch.tensor([value]))


def step(optimizer, weight, gradient):
    weight.grad = torch.tensor([gradient])
    optimizer.step()


def test_lion_by_hand():
    weight = one_weight(2.0)
    optimizer = Lion([weight], lr=0.1, betas=(0.9, 0.5), weight_decay=0.2)
    step(optimizer, weight, 1.0)  # direction +1, momentum 0.5
    assert weight.item() == pytest.approx(2.0 * (1 - 0.02) - 0.1)
    before = weight.item()
    step(optimizer, weight, -3.0)  # 0.9 0.5 - 0.1 3 > 0: still +1
    assert weight.item() == pytest.approx(before * 0.98 - 0.1)


def test_lion_does_not_see_the_size_of_gradients():
    weights = [one_weight(), one_weight()]
    for weight, size in zip(weights, (1.0, 1e-3), strict=True):
        optimizer = Lion([weight], lr=0.1)
        for gradient in (1.0, -0.5, 2.0):
            step(optimizer, weight, gradient * size)
    assert weights[0].item() == pytest.approx(weights[1].item())


@needs_fixtures
def test_lion_equals_the_published_step():
    """Same gradient, clipped to norm one; published groups: decay, none for norms and tokens, new head."""
    model, arrays = load_case("clf_noint")
    batch = make_batch(arrays)
    functional.cross_entropy(model.classify(batch).logits, batch.label).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    groups = {kind: {"params": [], "weight_decay": 0.1} for kind in ("decay", "plain", "new")}
    groups["plain"]["weight_decay"] = 0.0
    groups["new"]["lr"] = 5e-3
    names = {name: ".".join(published_name(name)) for name, _ in model.named_parameters()}
    for name, parameter in model.named_parameters():
        is_plain = any(word in names[name] for word in ("norm", "token"))
        kind = "new" if names[name].startswith("classifier.out") else "plain" if is_plain else "decay"
        groups[kind]["params"].append(parameter)
    Lion(list(groups.values()), lr=1e-3, betas=(0.95, 0.98)).step()
    differ = total = 0
    for name, parameter in model.named_parameters():
        published = torch.from_numpy(arrays[f"after_step/{names[name]}"])
        differ += int((parameter.detach() - published).abs().gt(1e-6).sum())
        total += parameter.numel()
    assert differ < 1e-3 * total  # a gradient of pure rounding size may have either sign


@pytest.mark.parametrize("name", ["lion", "adamw"])
def test_restored_optimizer_goes_on_alike(name):
    def run(restart):
        model = small_model()
        config = TrainConfig(optimizer=name, learning_rate=1e-2)
        optimizer = make_optimizer(model, config)
        for number in range(4):
            if number == 2 and restart:
                tensors = {k: v.clone() for k, v in optimizer_tensors(optimizer).items()}
                optimizer = make_optimizer(model, config)
                restore_optimizer(optimizer, tensors)
            generator = torch.Generator().manual_seed(number)
            for parameter in model.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            optimizer.step()
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    assert torch.equal(run(False), run(True))


def test_groups_split_body_and_heads_and_spare_vectors_the_decay():
    config = TrainConfig(learning_rate=1e-3, body_lr_factor=0.1, weight_decay=0.2)
    model = small_model()
    groups = parameter_groups(model, config)
    by_parameter = {id(p): group for group in groups for p in group["params"]}
    assert len(by_parameter) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        group = by_parameter[id(parameter)]
        factor = 0.1 if name.startswith("body.") else 1.0
        assert group["lr"] == pytest.approx(1e-3 * factor)
        decay = 0.2 / factor if parameter.ndim > 1 else 0.0
        assert group["weight_decay"] == pytest.approx(decay)


def test_lower_layers_learn_slower():
    model = small_model(n_layers=3)
    config = TrainConfig(learning_rate=1.0, body_lr_factor=0.5, layer_decay=0.1, weight_decay=0.2)
    rate = {id(p): g["lr"] for g in parameter_groups(model, config) for p in g["params"]}
    expected = {
        "body.blocks.2.": 0.05,
        "body.blocks.0.": 0.0005,
        "body.embedding.": 0.00005,
        "classifier.": 1,
    }
    for name, parameter in model.named_parameters():
        for start in filter(name.startswith, expected):
            assert rate[id(parameter)] == pytest.approx(expected[start]), name
    decays = {round(g["lr"] * g["weight_decay"], 9) for g in parameter_groups(model, config)}
    assert decays == {0.0, 0.2}


def test_adapters_learn_as_fast_as_heads():
    config = TrainConfig(learning_rate=1e-3, body_lr_factor=0.1, trainable="adapters", adapter_rank=2)
    model = small_model()
    groups = parameter_groups(model, config)
    assert {group["lr"] for group in groups} == {1e-3}
    trained = {id(p) for group in groups for p in group["params"]}
    names = {name for name, p in model.named_parameters() if id(p) in trained}
    assert {n for n in names if n.startswith("body.")} == {
        n for n, _ in model.named_parameters() if n.endswith((".rise", ".fall"))
    }


def test_nothing_to_train_is_an_error():
    model = small_model().requires_grad_(False)
    with pytest.raises(TrainingError, match="no parameter is trainable"):
        parameter_groups(model, TrainConfig())


@pytest.mark.parametrize(("trainable", "message"), [("heads", "body is frozen"), ("adapters", "adapters")])
def test_all_cannot_be_trained_where_an_earlier_training_froze_the_body(trainable, message):
    model = small_model()
    parameter_groups(model, TrainConfig(trainable=trainable, adapter_rank=2))
    with pytest.raises(TrainingError, match=message):
        parameter_groups(model, TrainConfig())


def test_schedule_rises_then_falls_to_its_end():
    rate = LearningRate(TrainConfig(final_lr_fraction=0.05), n_steps=100, n_warmup=10)
    values = [rate.fraction(s) for s in range(101)]
    assert values[9] == max(values) == 1.0
    assert np.all(np.diff(values[:10]) > 0)
    assert np.all(np.diff(values[10:]) < 0)
    assert values[-1] == pytest.approx(0.05)


def fractions(schedule, **changes):
    rate = LearningRate(TrainConfig(schedule=schedule, **changes), n_steps=100, n_warmup=0)
    return [rate.fraction(s) for s in range(101)]


def test_other_schedules():
    assert set(fractions("constant")) == {1.0}
    cycle = fractions("one_cycle", final_lr_fraction=0.1)
    assert cycle[0] == pytest.approx(0.1 + 0.9 / 25) and cycle[30] == 1.0 and cycle[100] == pytest.approx(0.1)
    assert np.all(np.diff(cycle[:31]) > 0) and np.all(np.diff(cycle[30:]) < 0)
    assert fractions(lambda done: 1 - done) == pytest.approx([1 - s / 100 for s in range(101)])


def test_groups_keep_their_own_peak():
    model = small_model()
    config = TrainConfig(learning_rate=1e-2, body_lr_factor=0.1, schedule=lambda done: 0.5)
    optimizer = make_optimizer(model, config)
    for step in range(3):
        LearningRate(config, n_steps=10, n_warmup=0).set(optimizer, step)
    assert {round(group["lr"], 9) for group in optimizer.param_groups} == {5e-3, 5e-4}


WITHOUT_COMPILER = """
import sys
import torch
from omnilearn_lab.training import TrainConfig
from omnilearn_lab.training.optimizers import make_optimizer
import omnilearn_lab.tasks.common
assert not {"sympy", "sklearn", "torch.distributed.tensor"} & set(sys.modules)
model = torch.nn.Linear(2, 1)
for name in ("lion", "adamw"):
    optimizer = make_optimizer(model, TrainConfig(optimizer=name))
    assert "torch._dynamo" not in sys.modules
    optimizer.zero_grad()
    model(torch.ones(1, 2)).sum().backward()
    optimizer.load_state_dict(optimizer.state_dict())
    if name == "lion":
        optimizer.step()
        assert "torch._dynamo" not in sys.modules
"""


def test_a_training_starts_without_the_compiler_and_other_slow_libraries():
    subprocess.run([sys.executable, "-c", WITHOUT_COMPILER], check=True)


def test_average_by_hand():
    layer = nn.Linear(1, 1, bias=False)
    average = MovingAverage(layer, 0.9)
    expected = None
    for n, value in enumerate([1.0, 2.0, 5.0]):
        with torch.no_grad():
            layer.weight.fill_(value)
        average.update(layer, n)
        decay = min(0.9, (1 + n) / (10 + n))
        expected = value if n == 0 else decay * expected + (1 - decay) * value
    assert average.module.weight.item() == pytest.approx(expected)


def test_memory_reaches_the_decay():
    layer = nn.Linear(1, 1, bias=False)
    average = MovingAverage(layer, 0.5)
    with torch.no_grad():
        layer.weight.fill_(0.0)
    for n in range(30):
        average.update(layer, n)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    average.update(layer, 30)
    assert average.module.weight.item() == pytest.approx(0.5)


def test_buffers_are_copied_and_state_comes_back():
    model = nn.BatchNorm1d(2)
    average = MovingAverage(model, 0.9)
    model(torch.randn(8, 2))
    average.update(model, 0)
    assert torch.equal(average.module.running_mean, model.running_mean)
    other = MovingAverage(nn.BatchNorm1d(2), 0.9)
    other.load_state_dict(average.state_dict())
    assert torch.equal(other.module.running_mean, model.running_mean)
