"""Attention: the kernel against its definition, and the block within jets, in both layouts."""

import pytest
import torch
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models import PET, Batch, PETConfig, PETv2, PETv2Config, attention
from omnilearn_lab.models.attention import ATTENTIONS, FORBIDDEN, Attention, attend
from omnilearn_lab.models.packing import Packing
from tests.models.test_kernels import compare
from torch import nn

OFFSETS = torch.tensor([0, 1, 6, 14, 27])


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
    monkeypatch.setattr(attention, "is_plain", lambda values: True)
    torch.testing.assert_close(attend(qkv, bias), fast)


@pytest.fixture(params=[False, True], ids=["groups", "one block"])
def packing(request):
    return Packing.build(OFFSETS, one_block=request.param)


def split(rows):
    return [rows[a:b] for a, b in zip(OFFSETS[:-1], OFFSETS[1:], strict=True)]


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
    for ours, jet in zip(split(layer(rows, packing, packing.key_biases)), split(rows), strict=True):
        torch.testing.assert_close(ours, reference_attention(layer, jet), rtol=1e-4, atol=1e-5)


def test_token_attention_equals_the_first_row_of_full_attention(packing):
    torch.manual_seed(0)
    layer, rows, tokens = Attention(16, 2), torch.randn(27, 16), torch.randn(4, 16)
    joined = packing.inner.with_token
    seen = packing.inner.join_token(packing.enter(rows), tokens)
    out = layer.from_tokens(joined.firsts(seen)[:, None], seen, joined, joined.key_biases)[:, 0]
    out = packing.in_jet_order(out)
    for i, jet in enumerate(split(rows)):
        expected = reference_attention(layer, torch.cat([tokens[i : i + 1], jet]))[0]
        torch.testing.assert_close(out[i], expected, rtol=1e-4, atol=1e-5)


class MeanAttention(nn.Module):
    """Every row sees the mean of the rows of its jet."""

    def __init__(self, width, n_heads, *, bias=True):
        super().__init__()
        self.out = nn.Linear(width, width, bias=bias)

    def forward(self, rows, packing, biases, *, channel_weight=None):
        rows = rows if channel_weight is None else rows * channel_weight
        means = []
        for part, bias in zip(packing.split(packing.to_slots(rows)), biases, strict=True):
            bias = torch.zeros_like(part[:, None, None, :, 0]) if bias is None else bias
            shares = (bias > FORBIDDEN / 2).float()
            shares = shares / shares.sum(-1, keepdim=True).clamp(min=1)
            means.append((shares.mean(1) @ part).expand_as(part))
        return self.out(packing.from_slots(packing.join(means)))


def test_another_attention_is_one_class_and_one_value_of_the_configuration(monkeypatch):
    monkeypatch.setitem(ATTENTIONS, "mean", MeanAttention)
    rows = torch.randn(27, 13)
    batch = Batch(rows, rows[:, :2], OFFSETS, torch.randn(4, 4))
    ours = {"width": 16, "n_layers": 1, "n_heads": 2}
    for network, config in ((PET, PETConfig), (PETv2, PETv2Config)):
        model = network(config(**ours, attention="mean")).eval()
        assert {type(block.attention) for block in model.body.blocks} == {MeanAttention}
        jets = batch if network is PET else batch.replace(features=rows[:, :4])
        logits = model.classify(jets).logits
        assert torch.isfinite(logits).all()
        torch.testing.assert_close(model.classify(jets.planned(one_block=True)).logits, logits)


def test_an_unknown_attention_is_named():
    with pytest.raises(ConfigError, match="did you mean 'softmax'"):
        PETConfig(attention="sofmax")
