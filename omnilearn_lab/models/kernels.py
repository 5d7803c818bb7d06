"""Fast forms of small pieces: the same mathematics, arranged for the processor at hand.

Each function has a plain definition, given in its first lines; on CPU it is evaluated in a way that is
several times faster, on an accelerator with few launches and without asking it for a value, and in float64 as
written. All are differentiable once; inside `plain` they are evaluated as written, and twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from omnilearn_lab.errors import TrainingError
from omnilearn_lab.machine.resources import forget_kernels

CHUNK_ROWS = 2560  # rows of an MLP at a time on CPU: intermediates stay in the processor's cache
LARGE_MATRIX = 1 << 14  # weights from which on oneDNN pays
LARGE_PRODUCT = 64_000_000  # multiplications from which on it does, and keeps little memory for each shape
_PLAIN: ContextVar[bool] = ContextVar("plain", default=False)
forget_kernels()  # of shapes that hardly come again; nothing has run on oneDNN yet


@contextmanager
def plain() -> Iterator[None]:
    """Inside, networks run on PyTorch's own operations alone, which can be differentiated repeatedly.

    For losses that hold gradients of the output (forces as minus the gradient of an energy). It is slower
    and takes about three times the memory; results agree up to rounding.

    Examples
    --------
    >>> import torch
    >>> x = torch.ones(1, requires_grad=True)
    >>> with plain():
    ...     slope = torch.autograd.grad(scaled_tanh(x, torch.ones(1)), x, create_graph=True)[0]
    >>> round(torch.autograd.grad(slope, x)[0].item(), 4)
    -0.6397
    """
    token = _PLAIN.set(True)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        _PLAIN.reset(token)


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Let a backward pass refuse to become part of a graph: its result would count as a constant there."""

    @wraps(backward)
    def refusing(ctx: Any, *gradients: Tensor) -> Any:
        if torch.is_grad_enabled():  # create_graph=True
            raise TrainingError(
                "a gradient of a gradient was asked for, and fast kernels have the first one only; compute "
                "the outputs inside 'with omnilearn_lab.models.kernels.plain():'"
            )
        return backward(ctx, *gradients)

    return refusing


def at_least_float32(values: Tensor) -> Tensor:
    """Return half-precision values as float32, others unchanged.

    Examples
    --------
    >>> import torch
    >>> at_least_float32(torch.zeros(1, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    return values if values.dtype in (torch.float32, torch.float64) else values.float()


def linear(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``rows @ weight.T + bias``, shapes (..., n_in) to (..., n_out).

    PyTorch sends float32 products on CPU to MKL, which leaves out the wide vector units of some processors;
    oneDNN uses them (2.4 times faster on an AMD EPYC of 2025, same result). bfloat16 goes there anyway.
    oneDNN makes code for every shape it meets, which small products do not pay back: these stay with MKL, if
    they are not of `CHUNK_ROWS` rows, which come again and again. A matrix that is a part of a wider one is
    copied, as oneDNN is very slow with it.

    Examples
    --------
    >>> import torch
    >>> linear(torch.ones(1, 2), torch.tensor([[1.0, 2.0]]), torch.tensor([0.5])).tolist()
    [[3.5]]
    """
    if _is_fast(rows, len(weight)):
        return _Linear.apply(rows, weight.contiguous(), bias)
    return functional.linear(rows, weight, bias)


def _is_fast(rows: Tensor, n_out: int) -> bool:
    n_rows, n_weights = rows.numel() // rows.shape[-1], rows.shape[-1] * n_out
    pays = n_rows == CHUNK_ROWS or n_weights >= LARGE_MATRIX or n_rows * n_weights >= LARGE_PRODUCT
    return (
        pays
        and rows.device.type == "cpu"
        and rows.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and not is_plain(rows)
        and rows.numel() > 0
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def product(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return what `linear` does, inside a gradient of one's own."""
    is_fast = _is_fast(rows, len(weight))
    return _product(rows, weight, bias) if is_fast else functional.linear(rows, weight, bias)


def weight_gradient(rows: Tensor, gradient: Tensor) -> Tensor:
    """Return ``gradient.T @ rows``, shapes (N, n_in) and (N, n_out) to (n_out, n_in)."""
    is_fast = _is_fast(rows, gradient.shape[1])
    return _weight_gradient(rows, gradient) if is_fast else gradient.t() @ rows


def _weight_gradient(rows: Tensor, gradient: Tensor) -> Tensor:
    if rows.shape[1] > gradient.shape[1]:  # the shorter side first is up to four times faster
        return _product(gradient.t(), rows.t())
    return _product(rows.t(), gradient.t()).t()


def _product(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        return _product(rows, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        d_rows = _product(gradient, weight.t()) if ctx.needs_input_grad[0] else None
        flat, d_weight = gradient.reshape(-1, gradient.shape[-1]), None
        if ctx.needs_input_grad[1]:
            d_weight = _weight_gradient(rows.reshape(-1, rows.shape[-1]), flat)
        d_bias = flat.sum(0) if ctx.needs_input_grad[2] else None
        return d_rows, d_weight, d_bias


def scaled_tanh(values: Tensor, alpha: Tensor) -> Tensor:
    """Return ``tanh(alpha * values)`` with one number alpha, shape (1,).

    On CPU as ``2 sigmoid(2 alpha x) - 1``, whose vector code is five times faster (absolute error 1e-7).

    Examples
    --------
    >>> import torch
    >>> round(scaled_tanh(torch.tensor([2.0]), torch.tensor([0.5])).item(), 6)
    0.761594
    """
    if is_plain(values):
        return torch.tanh(alpha * values)
    return _ScaledTanh.apply(values, alpha, compute_dtype(values))


def gelu_scaled_tanh(values: Tensor, alpha: Tensor) -> Tensor:
    """Return ``tanh(alpha * gelu(values))`` with the exact (erf) GELU and one number alpha, shape (1,).

    Examples
    --------
    >>> import torch
    >>> gelu_scaled_tanh(torch.tensor([0.0]), torch.tensor([0.5])).item()
    0.0
    """
    if is_plain(values):
        return torch.tanh(alpha * functional.gelu(values))
    return _GeluScaledTanh.apply(values, alpha)


def is_plain(values: Tensor) -> bool:
    """Whether a function of these values is evaluated as written: in float64, compiled, or in `plain`."""
    return values.dtype == torch.float64 or torch.compiler.is_compiling() or _PLAIN.get()


def compute_dtype(values: Tensor) -> torch.dtype:
    """The number type in which dense layers compute here: autocast's, else that of the values."""
    device = values.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else values.dtype


def _tanh_(values: Tensor, alpha: Tensor) -> Tensor:
    """Turn x into tanh(alpha x), in place; an accelerator is not asked for alpha."""
    if values.device.type != "cpu":
        return values.mul_(alpha).tanh_()
    return values.mul_(2 * alpha.item()).sigmoid_().mul_(2).sub_(1)


def _times_(values: Tensor, alpha: Tensor) -> Tensor:
    return values.mul_(alpha.item() if values.device.type == "cpu" else alpha)


def _inner(first: Tensor, second: Tensor) -> Tensor:
    """Sum of all products, shape (1,), accumulated in float32."""
    if first.dtype == torch.float32 and second.dtype == torch.float32:
        return torch.dot(first.flatten(), second.flatten())[None]
    return torch.sum(first * second, dtype=torch.float32)[None]


class _ScaledTanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, alpha: Tensor, dtype: torch.dtype) -> Tensor:
        if values.device.type == "cpu":
            scaled = torch.mul(at_least_float32(values), 2 * alpha.item())
            out = scaled.sigmoid_().mul_(2).sub_(1).to(dtype)
        else:
            out = (at_least_float32(values) * alpha).tanh_().to(dtype)
        ctx.save_for_backward(values, alpha, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        values, alpha, out = ctx.saved_tensors
        inner = torch.ops.aten.tanh_backward(gradient, out).to(values.dtype)
        d_alpha = _inner(inner, values)
        return _times_(inner, alpha), d_alpha.to(alpha.dtype), None


class _GeluScaledTanh(torch.autograd.Function):
    """The GELU is computed again in the backward pass."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, alpha: Tensor) -> Tensor:
        out = _tanh_(at_least_float32(functional.gelu(values)), alpha).to(values.dtype)
        ctx.save_for_backward(values, alpha, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        values, alpha, out = ctx.saved_tensors
        inner = torch.ops.aten.tanh_backward(gradient, out)
        d_alpha = _inner(inner, functional.gelu(values))
        d_values = torch.ops.aten.gelu_backward(_times_(inner, alpha), values)
        return d_values, d_alpha.to(alpha.dtype)
