import pytest
import torch
from omnilearn_lab.training.averaging import MovingAverage
from torch import nn


def test_average_by_hand():
    layer = nn.Linear(1, 1, bias=False)
    average = MovingAverage(layer, 0.9)
    expected = None
    for n, value in enumerate([1.0, 2.0, 5.0]):
        with torch.no_grad():
            layer.weight.fill_(value)
        average.update(layer)
        decay = min(0.9, (1 + n) / (10 + n))
        expected = value if n == 0 else decay * expected + (1 - decay) * value
    assert average.module.weight.item() == pytest.approx(expected)


def test_memory_reaches_the_decay():
    layer = nn.Linear(1, 1, bias=False)
    average = MovingAverage(layer, 0.5)
    with torch.no_grad():
        layer.weight.fill_(0.0)
    for _ in range(30):
        average.update(layer)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    average.update(layer)
    assert average.module.weight.item() == pytest.approx(0.5)


def test_buffers_are_copied_and_state_comes_back():
    model = nn.BatchNorm1d(2)
    average = MovingAverage(model, 0.9)
    model(torch.randn(8, 2))
    average.update(model)
    assert torch.equal(average.module.running_mean, model.running_mean)
    other = MovingAverage(nn.BatchNorm1d(2), 0.9)
    other.load_state_dict(average.state_dict())
    assert int(other.n_averaged) == 1
    assert torch.equal(other.module.running_mean, model.running_mean)
