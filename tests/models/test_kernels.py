"""Fast forms against the plain definitions, values and gradients."""

import pytest
import torch
from omnilearn_lab.models.kernels import LARGE_MATRIX, gelu_scaled_tanh, linear, scaled_tanh
from torch.nn import functional


def compare(fast, plain, *inputs, tolerance=2e-6):
    """Value and gradients in float32 against the plain form in float64."""
    inputs = [x.clone().requires_grad_() for x in inputs]
    wide = [x.detach().double().requires_grad_() for x in inputs]
    got, expected = fast(*inputs), plain(*wide)
    weight = torch.cos(torch.arange(expected.numel(), dtype=torch.float64)).view_as(expected)
    (got * weight.float()).sum().backward()
    (expected * weight).sum().backward()
    pairs = [(got, expected)] + [(x.grad, y.grad) for x, y in zip(inputs, wide, strict=True)]
    for one, other in pairs:
        assert one.dtype == torch.float32
        assert (one - other).abs().max() <= tolerance * max(1.0, other.abs().max().item())


@pytest.mark.parametrize("shape", [(7, 5), (3, 4, 5), (1, 5), (300, 5)])
def test_linear(shape):
    torch.manual_seed(0)
    compare(linear, functional.linear, torch.randn(shape), torch.randn(6, 5), torch.randn(6))
    compare(linear, functional.linear, torch.randn(shape), torch.randn(6, 5))


def test_linear_with_a_large_matrix():
    torch.manual_seed(0)
    weight = torch.randn(128, 128) / 128**0.5
    assert weight.numel() >= LARGE_MATRIX
    compare(linear, functional.linear, torch.randn(7, 128), weight, torch.randn(128))
    compare(linear, functional.linear, torch.randn(3, 4, 128), weight)


def test_linear_without_rows():
    assert linear(torch.zeros(0, 5), torch.zeros(6, 5)).shape == (0, 6)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 100.0])
def test_tanh(scale):
    torch.manual_seed(0)
    values, alpha = scale * torch.randn(50, 4), torch.tensor([0.7])
    tolerance = 2e-6 * max(1.0, scale)
    compare(scaled_tanh, lambda x, a: torch.tanh(a * x), values, alpha, tolerance=tolerance)
    compare(
        gelu_scaled_tanh, lambda x, a: torch.tanh(a * functional.gelu(x)), values, alpha, tolerance=tolerance
    )


def test_half_precision_keeps_its_type():
    x, alpha = torch.randn(20, 8).bfloat16(), torch.tensor([0.5])
    assert gelu_scaled_tanh(x, alpha).dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        out = scaled_tanh(x.float(), alpha)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), torch.tanh(0.5 * x.float()), atol=5e-3, rtol=1e-2)
