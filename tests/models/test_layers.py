"""Norm, attention and time embedding against their definitions."""

import dataclasses

import pytest
import torch
from omnilearn_lab.models.layers import Attention, JetNorm, TimeEmbedding, _Normalize, modulate
from omnilearn_lab.models.packing import Packing

OFFSETS = torch.tensor([0, 1, 6, 14, 27])


@pytest.fixture
def packing():
    return Packing.build(OFFSETS)


def split(rows):
    return [rows[a:b] for a, b in zip(OFFSETS[:-1], OFFSETS[1:], strict=True)]


def test_norm_equals_group_norm_with_one_group(packing):
    torch.manual_seed(0)
    norm, rows = JetNorm(8), 3 + 2 * torch.randn(27, 8)
    torch.nn.init.normal_(norm.weight), torch.nn.init.normal_(norm.bias)
    for ours, jet in zip(split(norm(rows, packing)), split(rows), strict=True):
        expected = torch.nn.functional.group_norm(jet.t()[None], 1, norm.weight, norm.bias, eps=1e-3)[0].t()
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    single = split(norm(rows, packing))[0]
    torch.testing.assert_close(norm.each(rows[:1]), single)


def test_norm_gradients_match_finite_differences(packing):
    torch.manual_seed(0)
    norm = JetNorm(3).double()
    rows = torch.randn(27, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(27, dtype=torch.float64)
    weighted = dataclasses.replace(packing, row_weight=weight, counts=packing.sum_rows(weight))
    for plan in (packing, weighted):
        assert torch.autograd.gradcheck(lambda *v, p=plan: norm(*v, p), (rows,))
    inputs = (rows.detach(), norm.weight, norm.bias)
    assert torch.autograd.gradcheck(lambda *v: _Normalize.apply(*v, packing, 1e-3), inputs)


def reference_attention(layer, jet):
    width = jet.shape[1]
    module = torch.nn.MultiheadAttention(width, layer.n_heads, batch_first=True)
    with torch.no_grad():
        module.in_proj_weight.copy_(layer.qkv.weight), module.in_proj_bias.copy_(layer.qkv.bias)
        module.out_proj.weight.copy_(layer.out.weight), module.out_proj.bias.copy_(layer.out.bias)
    return module(jet[None], jet[None], jet[None], need_weights=False)[0][0]


def test_attention_stays_within_each_jet(packing):
    torch.manual_seed(0)
    layer, rows = Attention(16, 4), torch.randn(27, 16)
    torch.nn.init.normal_(layer.qkv.bias)
    for ours, jet in zip(split(layer(rows, packing)), split(rows), strict=True):
        torch.testing.assert_close(ours, reference_attention(layer, jet), rtol=1e-4, atol=1e-5)


def test_token_attention_equals_the_first_row_of_full_attention(packing):
    torch.manual_seed(0)
    layer, rows, tokens = Attention(16, 2), torch.randn(27, 16), torch.randn(4, 16)
    out = layer.attend_token(torch.cat([rows, tokens]), packing.with_token)
    for i, jet in enumerate(split(rows)):
        expected = reference_attention(layer, torch.cat([tokens[i : i + 1], jet]))[0]
        torch.testing.assert_close(out[i], expected, rtol=1e-4, atol=1e-5)


def test_gathers_between_rows_and_slots_have_exact_gradients(packing):
    rows = torch.randn(27, 2, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(len(packing.slot_rows), 2, dtype=torch.float64) * packing.slot_mask[:, None]

    def there_and_back(values):
        return packing.from_slots(packing.to_slots(values) * weights)

    assert torch.equal(packing.from_slots(packing.to_slots(rows)), rows)
    assert torch.autograd.gradcheck(there_and_back, (rows,))


def test_time_embedding_vanishes_at_zero_and_only_there():
    torch.manual_seed(0)
    embedded = TimeEmbedding(8)(torch.tensor([0.0, 1e-3, 1.0]))
    assert (embedded[0] == 0).all() and (embedded[1:].abs().sum(1) > 0).all()


def test_modulation_by_zero_changes_nothing(packing):
    rows = torch.randn(27, 4)
    assert torch.equal(modulate(rows, torch.zeros(4, 8), packing), rows)
