"""Attention among the particles of a jet: one kernel, one block for both networks, and a place for others.

Another attention for PET is one class with the signature of `Attention` and one line,
``ATTENTIONS["name"] = Class``; a configuration with ``attention="name"`` then uses it in every block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnilearn_lab.models.kernels import at_least_float32, is_plain, linear, once_differentiable
from omnilearn_lab.models.packing import Packing, join

FORBIDDEN = -1e9  # minus infinity would make fully masked rows not-a-number
SHORT = 32  # rows below this length are faster without the library's softmax


class Attention(nn.Module):
    """Multi-head attention: softmax(q k' / sqrt(h)) v among the particles of each jet.

    Parameters
    ----------
    width
        Channels d.
    n_heads
        Heads H; each has h = d / H channels.
    bias
        With biases in the dense layers.
    """

    def __init__(self, width: int, n_heads: int, *, bias: bool = True) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.qkv = nn.Linear(width, 3 * width, bias=bias)  # query, key and value rows, in this order
        self.out = nn.Linear(width, width, bias=bias)
        if bias:
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the kernels with the bounds Keras uses for three-axis attention kernels."""
        width, head = self.out.in_features, self.out.in_features // self.n_heads
        bound = math.sqrt(6 / (width * (self.n_heads + head)))
        nn.init.uniform_(self.qkv.weight, -bound, bound)
        bound = math.sqrt(6 / (self.n_heads * (head + width)))
        nn.init.uniform_(self.out.weight, -bound, bound)
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.out.bias)

    def forward(
        self,
        rows: Tensor,
        packing: Packing,
        biases: Sequence[Tensor | None],
        *,
        channel_weight: Tensor | None = None,
    ) -> Tensor:
        """Let every row attend to all rows of its jet: (rows, d) to (rows, d).

        Parameters
        ----------
        rows
            The rows of ``packing``.
        packing
            The jets.
        biases
            Added to the logits of each block of jets, (G, H or 1, m or 1, m), or None; they leave out the
            empty slots, see `Packing.key_biases`.
        channel_weight
            Factors of the columns of ``rows``, shape (d,): folded into the first layer.
        """
        weight = self.qkv.weight if channel_weight is None else self.qkv.weight * channel_weight
        slots = packing.to_slots(linear(rows, weight, self.qkv.bias))
        mixed = [self.mix(*pair) for pair in zip(packing.split(slots), biases, strict=True)]
        return linear(packing.from_slots(packing.join(mixed)), self.out.weight, self.out.bias)

    def mix(self, qkv: Tensor, bias: Tensor | None) -> Tensor:
        """Attend within each of G sequences: (G, m, 3 d) to (G, m, d)."""
        return attend(qkv.unflatten(-1, (3, self.n_heads, -1)), bias)

    def from_tokens(
        self, tokens: Tensor, rows: Tensor, packing: Packing, biases: Sequence[Tensor | None]
    ) -> Tensor:
        """Let tokens (B, n, d), jets in block order, attend to the rows of their jet: (B, n, d)."""
        width, bias = tokens.shape[-1], self.qkv.bias
        of_query, of_others = self.qkv.weight.split([width, 2 * width])
        bias_query, bias_others = (None, None) if bias is None else bias.split([width, 2 * width])
        queries = linear(tokens, of_query, bias_query)
        queries = (
            queries.split([group.n_jets for group in packing.groups])
            if len(packing.groups) > 1
            else [queries]
        )
        parts = packing.split(packing.to_slots(linear(rows, of_others, bias_others)))
        mixed = []
        for query, part, bias in zip(queries, parts, biases, strict=True):
            columns = (query, *part.chunk(2, -1))
            heads = [x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for x in columns]
            out = functional.scaled_dot_product_attention(*heads, attn_mask=_like(bias, query))
            mixed.append(out.transpose(1, 2).flatten(2))
        return linear(join(mixed), self.out.weight, self.out.bias)


ATTENTIONS: dict[str, type[nn.Module]] = {"softmax": Attention}
"""Attention of the blocks, by the name that a configuration gives it."""


def _like(bias: Tensor | None, values: Tensor) -> Tensor | None:
    return None if bias is None else bias.to(values.dtype)


def attend(qkv: Tensor, bias: Tensor | None) -> Tensor:
    """Let each of G sequences of length m attend to itself: softmax(q k' / sqrt(h) + bias) v for each head.

    Parameters
    ----------
    qkv
        Queries, keys and values, shape (G, m, 3, H, h).
    bias
        Added to the logits, shape (G, H or 1, m or 1, m) for sequences, heads, queries, keys; None: nothing.
        Forbidden keys carry minus infinity, or `FORBIDDEN`, a large negative number: a sequence where all
        keys carry that gives a mean over all of them.

    Returns
    -------
    Tensor
        Shape (G, m, H h).

    Examples
    --------
    >>> import torch
    >>> qkv = torch.zeros(1, 2, 3, 1, 1)
    >>> qkv[0, :, 2, 0, 0] = torch.tensor([1.0, 3.0])
    >>> attend(qkv, None).flatten().tolist()
    [2.0, 2.0]
    """
    if qkv.device.type == "cpu" and not is_plain(qkv):
        return _Attend.apply(qkv, bias)
    query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # (G, H, m, h)
    if bias is not None:
        bias = bias.to(qkv.dtype).expand(-1, query.shape[1], query.shape[2], -1)
    mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    return mixed.transpose(1, 2).flatten(2)


class _Attend(torch.autograd.Function):
    """Products of many small matrices, and a softmax written out where its rows are short."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, bias: Tensor | None) -> Tensor:
        n_sequences, length, _, n_heads, size = qkv.shape
        parts = qkv.permute(2, 0, 3, 1, 4).reshape(3, n_sequences * n_heads, length, size)
        query, key, value = parts.unbind(0)  # (G H, m, h)
        empty = query.new_empty(())  # not read, as beta is zero
        scores = torch.baddbmm(empty, query, key.transpose(1, 2), beta=0, alpha=size**-0.5)
        shares = _softmax(scores.view(n_sequences, n_heads, length, length), bias)
        out = torch.bmm(shares.flatten(0, 1), value)
        ctx.save_for_backward(parts, shares)
        ctx.bias_shape = None if bias is None else bias.shape
        return out.view(n_sequences, n_heads, length, size).transpose(1, 2).flatten(2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        parts, shares = ctx.saved_tensors
        query, key, value = parts.unbind(0)
        n_sequences, n_heads, length, _ = shares.shape
        gradient = gradient.unflatten(2, (n_heads, -1)).transpose(1, 2).flatten(0, 1)  # (G H, m, h)
        d_shares = torch.bmm(gradient, value.transpose(1, 2)).view_as(shares)
        d_logits = _softmax_backward(d_shares, shares)
        scores = (d_logits * query.shape[-1] ** -0.5).flatten(0, 1)
        d_parts = torch.empty_like(parts)
        torch.bmm(scores, key, out=d_parts[0])
        torch.bmm(scores.transpose(1, 2), query, out=d_parts[1])
        torch.bmm(shares.flatten(0, 1).transpose(1, 2), gradient, out=d_parts[2])
        d_qkv = d_parts.view(3, n_sequences, n_heads, length, -1).permute(1, 3, 0, 2, 4).contiguous()
        if not ctx.needs_input_grad[1]:
            return d_qkv, None
        return d_qkv, at_least_float32(d_logits.sum_to_size(ctx.bias_shape))


def _softmax(scores: Tensor, bias: Tensor | None) -> Tensor:
    """Softmax of ``scores + bias`` over the last axis, in float32; returned in the type of ``scores``."""
    logits = scores.float()  # a new array, or the scores themselves, which nobody else needs
    if bias is not None:
        logits.add_(bias)
    if logits.shape[-1] >= SHORT:
        return torch.softmax(logits, -1).to(scores.dtype)
    logits.sub_(logits.amax(-1, keepdim=True)).exp_()
    return logits.div_(logits.sum(-1, keepdim=True)).to(scores.dtype)


def _softmax_backward(gradient: Tensor, shares: Tensor) -> Tensor:
    if shares.shape[-1] >= SHORT:
        return torch.ops.aten._softmax_backward_data(gradient, shares, -1, shares.dtype)
    product = gradient.float() * shares
    return product.sub_(shares * product.sum(-1, keepdim=True)).to(shares.dtype)
