"""Fast forms against the plain definitions, values and gradients."""

import pytest
import torch
from omnilearn_lab.models import kernels
from omnilearn_lab.models.kernels import (
    FORBIDDEN,
    LARGE_MATRIX,
    attend,
    gelu_scaled_tanh,
    linear,
    scaled_tanh,
)
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


def plain_attention(qkv, bias):
    query, key, value = qkv.permute(2, 0, 3, 1, 4)
    logits = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    shares = torch.softmax(logits if bias is None else logits + bias, -1)
    return (shares @ value).transpose(1, 2).flatten(2)


@pytest.mark.parametrize("length", [1, 10, 40])
def test_attention(length):
    torch.manual_seed(0)
    qkv = torch.randn(3, length, 3, 2, 4)
    compare(lambda x: attend(x, None), lambda x: plain_attention(x, None), qkv)
    for shape in ((3, 2, length, length), (3, 1, 1, length)):
        compare(attend, plain_attention, qkv, torch.randn(shape))


@pytest.mark.parametrize("length", [10, 40])
def test_forbidden_keys_have_no_say(length):
    torch.manual_seed(0)
    qkv = torch.randn(2, length, 3, 2, 4)
    bias = torch.zeros(2, 1, 1, length)
    bias[:, :, :, 6:] = FORBIDDEN
    short = attend(qkv[:, :6].contiguous(), None)
    torch.testing.assert_close(attend(qkv, bias)[:, :6], short)


def test_all_keys_forbidden_is_finite():
    out = attend(torch.randn(1, 10, 3, 2, 4), torch.full((1, 1, 1, 10), FORBIDDEN))
    assert torch.isfinite(out).all()


def test_fused_attention_agrees(monkeypatch):
    torch.manual_seed(0)
    qkv, bias = torch.randn(2, 12, 3, 2, 4), torch.randn(2, 2, 12, 12)
    fast = attend(qkv, bias)
    monkeypatch.setattr(kernels, "_is_plain", lambda values: True)
    torch.testing.assert_close(attend(qkv, bias), fast)


def test_half_precision_keeps_its_type():
    x, alpha = torch.randn(20, 8).bfloat16(), torch.tensor([0.5])
    assert gelu_scaled_tanh(x, alpha).dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        out = scaled_tanh(x.float(), alpha)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), torch.tanh(0.5 * x.float()), atol=5e-3, rtol=1e-2)
