"""Norm, modulation and time embedding against their definitions, in both layouts."""

import dataclasses

import pytest
import torch
from omnilearn_lab.models.layers import JetNorm, TimeEmbedding, _Normalize, modulate
from omnilearn_lab.models.packing import Packing

OFFSETS = torch.tensor([0, 1, 6, 14, 27])


@pytest.fixture
def packing():
    return Packing.build(OFFSETS)


@pytest.fixture
def block():
    return Packing.build(OFFSETS, one_block=True)


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


def test_time_embedding_vanishes_at_zero_and_only_there():
    torch.manual_seed(0)
    embedded = TimeEmbedding(8)(torch.tensor([0.0, 1e-3, 1.0]))
    assert (embedded[0] == 0).all() and (embedded[1:].abs().sum(1) > 0).all()


def test_modulation_by_zero_changes_nothing(packing):
    rows = torch.randn(27, 4)
    assert torch.equal(modulate(rows, torch.zeros(4, 8), packing), rows)


def test_norm_of_a_padded_block_is_the_same_and_so_are_its_gradients(packing, block):
    torch.manual_seed(0)
    norm, rows = JetNorm(8), 3 + 2 * torch.randn(27, 8)
    torch.nn.init.normal_(norm.weight), torch.nn.init.normal_(norm.bias)
    weight, results = torch.randn(27, 8), []
    particles = torch.rand(27) + 0.5
    weighted = [
        dataclasses.replace(plan, row_weight=particles, counts=plan.sum_rows(particles))
        for plan in (packing, block)
    ]
    for plan in (packing, block, *weighted):
        values = rows.clone().requires_grad_()
        out = plan.leave(norm(plan.enter(values), plan.inner))
        results.append((out, *torch.autograd.grad((out * weight).sum(), [values, *norm.parameters()])))
    for one, other in ((0, 1), (2, 3)):
        for ours, expected in zip(results[one], results[other], strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-5, atol=2e-5)


def test_gradients_of_the_norm_of_a_block_match_finite_differences(block):
    torch.manual_seed(0)
    norm = JetNorm(3).double()
    rows = torch.randn(27, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: block.leave(norm(block.enter(v), block.inner)), (rows,))


def test_modulation_of_a_padded_block_is_the_same(packing, block):
    torch.manual_seed(0)
    rows, scale_shift = torch.randn(27, 4), torch.randn(4, 8)
    ours = block.leave(modulate(block.enter(rows), scale_shift, block.inner))
    torch.testing.assert_close(ours, modulate(rows, scale_shift, packing))
