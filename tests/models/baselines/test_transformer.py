"""The tagger in the manner of GN2: order, other jets, gradients, its second task."""

import pytest
import torch
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models import Batch
from omnilearn_lab.models.baselines import TrackTransformer, TrackTransformerConfig
from torch.nn import functional

SMALL = {"width": 16, "n_layers": 2, "n_heads": 2}
CONFIG = TrackTransformerConfig(n_extra=3, n_condition=2, n_particle_classes=5, **SMALL)


def make_batch(counts=(3, 1, 6), seed=0):
    generator = torch.Generator().manual_seed(seed)
    total, n_jets = sum(counts), len(counts)
    features = torch.randn(total, 4, generator=generator)
    offsets = torch.tensor([0, *torch.tensor(counts).cumsum(0).tolist()])
    return Batch(
        features, features[:, :2], offsets, torch.zeros(n_jets, 0), torch.arange(n_jets) % 4
    ).replace(
        extra=torch.randn(total, 3, generator=generator),
        condition=torch.randn(n_jets, 2, generator=generator),
        particle_label=torch.arange(total) % 5,
    )


def make_model(config=CONFIG):
    torch.manual_seed(0)
    model = TrackTransformer(config)
    for parameter in model.parameters():
        parameter.data.normal_(std=0.3)
    return model.eval()


@torch.no_grad()
def test_output_depends_neither_on_order_nor_on_other_jets():
    model, batch = make_model(), make_batch()
    jets, tracks = model.classify_all(batch)
    rows = torch.tensor([9, 4, 8, 6, 5, 7])  # the six tracks of the last jet, shuffled
    features = batch.features[rows]
    alone = Batch(features, features[:, :2], torch.tensor([0, 6]), torch.zeros(1, 0)).replace(
        extra=batch.extra[rows], condition=batch.condition[2:]
    )
    jets_alone, tracks_alone = model.classify_all(alone)
    torch.testing.assert_close(jets_alone.logits, jets.logits[2:], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(tracks_alone, tracks[rows], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_both_calls_classify_jets_alike_and_the_label_is_not_looked_at():
    model, batch = make_model(), make_batch()
    told, tracks = model.classify_all(batch, batch.label)
    other, tracks_of_other = model.classify_all(batch, 3 - batch.label)
    torch.testing.assert_close(told.logits, model.classify(batch).logits)
    torch.testing.assert_close(told.logits, other.logits)
    torch.testing.assert_close(tracks, tracks_of_other)
    assert tracks.shape == (10, 5) and told.logits.shape == (3, 4)


def test_gradient_reaches_every_parameter_and_a_step_lowers_the_loss():
    model, batch = make_model(), make_batch()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    losses = []
    for _ in range(2):
        jets, tracks = model.classify_all(batch)
        loss = functional.cross_entropy(jets.logits, batch.label)
        loss = loss + functional.cross_entropy(tracks, batch.particle_label)
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]


def test_missing_inputs_and_heads_are_named():
    with pytest.raises(ConfigError, match="'extra'"):
        make_model()(make_batch().replace(extra=None))
    with pytest.raises(ConfigError, match="n_particle_classes=0"):
        make_model(TrackTransformerConfig(n_extra=3, n_condition=2, **SMALL)).classify_all(make_batch())
    with pytest.raises(ConfigError, match="width 10"):
        TrackTransformerConfig(width=10)
    with pytest.raises(ConfigError, match="no size 'large'"):
        TrackTransformerConfig.named("large")
