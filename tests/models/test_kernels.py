"""Fast forms against the plain definitions, values and gradients."""

import pytest
import torch
from omnilearn_lab.models import kernels
from omnilearn_lab.models.kernels import CHUNK_ROWS, LARGE_PRODUCT, gelu_scaled_tanh, linear, scaled_tanh
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


@pytest.mark.parametrize(
    ("n_rows", "n_in", "n_out"),
    [(7, 128, 128), (CHUNK_ROWS, 7, 16), (CHUNK_ROWS, 16, 7), (LARGE_PRODUCT // 4096 + 1, 64, 64)],
    ids=["large matrix", "narrow to wide, a full chunk", "wide to narrow, a full chunk", "large product"],
)
def test_linear_by_the_faster_library(n_rows, n_in, n_out, monkeypatch):
    used = []
    monkeypatch.setattr(kernels, "_product", lambda *a, by=kernels._product: used.append(a) or by(*a))
    torch.manual_seed(0)
    rows, weight = torch.randn(n_rows, n_in), torch.randn(n_out, n_in) / n_in**0.5
    tolerance = 2e-6 * max(1.0, n_rows**0.5 / 8)  # gradients of the weights are sums over all rows
    compare(linear, functional.linear, rows, weight, torch.randn(n_out), tolerance=tolerance)
    assert len(used) == 3  # values, and both gradients
    compare(linear, functional.linear, rows.unflatten(0, (1, n_rows)), weight, tolerance=tolerance)
    wide = torch.randn(n_out, 2 * n_in) / n_in**0.5
    compare(linear, functional.linear, rows, wide.chunk(2, 1)[0], tolerance=tolerance)
    assert used[-3][1].is_contiguous()  # a part of a wider matrix was copied


def test_small_products_stay_with_the_other_library(monkeypatch):
    monkeypatch.setattr(kernels, "_product", None)
    compare(linear, functional.linear, torch.randn(100, 64), torch.randn(64, 64) / 8)


def test_a_frozen_matrix_gets_no_gradient():
    weight = torch.randn(128, 128)
    rows = torch.randn(7, 128, requires_grad=True)
    linear(rows, weight).sum().backward()
    assert weight.grad is None and torch.allclose(rows.grad, weight.sum(0).expand(7, -1), atol=1e-4)


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
