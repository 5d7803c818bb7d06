"""Loss terms against the published program and against values worked out by hand."""

import math

import numpy as np
import pytest
import torch
from omnilearn_lab.models.packing import Packing
from tests.models.published_losses import (
    balance_weights,
    contrastive_loss,
    grouped_class_loss,
    particle_class_loss,
    velocity_loss,
)
from tests.models.test_pet_v2 import body_padded, load_case, make_batch, needs_fixtures


@needs_fixtures
@pytest.mark.parametrize("case", ["clf_int", "clf_noint", "ftag"])
def test_class_losses_equal_published(case):
    arrays = load_case(case)[1]
    logits, label = torch.from_numpy(arrays["y_pred"]), torch.from_numpy(arrays["y"])
    loss = grouped_class_loss(logits, label, balance_weights(label, logits.shape[1]))
    assert loss.item() == pytest.approx(arrays["loss_plain_loss_class"].item(), rel=1e-6)


@needs_fixtures
@pytest.mark.parametrize("case", ["gen_cond", "gen_full", "pretrain"])
def test_velocity_loss_equals_published(case):
    arrays = load_case(case)[1]
    mask = torch.from_numpy(arrays["mask"])
    velocity, target = (torch.from_numpy(arrays[name])[mask] for name in ("z_pred", "v"))
    loss = velocity_loss(velocity, target, make_batch(arrays).packing)
    assert loss.item() == pytest.approx(arrays["loss_plain_loss_gen"].item(), rel=1e-6)


@needs_fixtures
def test_pretraining_losses_equal_published():
    model, arrays = load_case("pretrain")
    logits, noised, label, time = (torch.from_numpy(arrays[n]) for n in ("y_pred", "y_perturb", "y", "t"))
    balance = balance_weights(label, 210)
    weight = (1 - time).square() * balance
    plain = grouped_class_loss(logits, label, balance) + grouped_class_loss(noised, label, weight)
    assert plain.item() == pytest.approx(arrays["loss_plain_loss_class"].item(), rel=1e-6)
    grouped = grouped_class_loss(logits, label, balance, n_jet_classes=200)
    grouped = grouped + grouped_class_loss(noised, label, weight, n_jet_classes=200)
    published = arrays["loss_event_clip_loss_class"] + arrays["loss_event_clip_loss_class_event"]
    assert grouped.item() == pytest.approx(published.item(), rel=1e-6)
    clean, perturbed = (torch.from_numpy(arrays[name]).flatten(1) for name in ("x_body", "z_body"))
    contrast = contrastive_loss(clean, perturbed, 1 - time, published=True)
    assert contrast.item() == pytest.approx(arrays["loss_event_clip_loss_clip"].item(), rel=1e-5)
    with torch.no_grad():
        ours = body_padded(arrays, model.body(make_batch(arrays, "z"), time)).flatten(1)
    assert contrastive_loss(clean, ours, 1 - time, published=True).item() == pytest.approx(
        contrast.item(), rel=1e-5
    )


@needs_fixtures
def test_particle_loss_equals_published():
    arrays = load_case("ftag")[1]
    logits, label = (
        torch.from_numpy(arrays["z_pred"]).flatten(0, 1),
        torch.from_numpy(arrays["data_pid"]).flatten(),
    )
    assert particle_class_loss(logits, label).item() == pytest.approx(
        arrays["loss_plain_loss_gen"].item(), rel=1e-6
    )


def test_class_losses_by_hand():
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.125, 0.125], [0.1, 0.2, 0.3, 0.4]]))
    label = torch.tensor([0, 3])
    weight = torch.tensor([2.0, 1.0])
    one_kind = (2 * math.log(2) - math.log(0.4)) / 2
    assert grouped_class_loss(logits, label, weight).item() == pytest.approx(one_kind, rel=1e-6)
    two_kinds = 2 * -math.log(0.5 / 0.75) - math.log(0.4 / 0.7)
    assert grouped_class_loss(logits, label, weight, n_jet_classes=2).item() == pytest.approx(
        two_kinds, rel=1e-6
    )


def test_balance_weights_by_hand():
    weights = balance_weights(torch.tensor([0, 0, 0, 2]), 3)
    np.testing.assert_allclose(weights, np.array([1 / 3, 1 / 3, 1 / 3, 1]) / 0.5, rtol=1e-5)


def test_velocity_loss_counts_each_jet_once():
    packing = Packing.build(torch.tensor([0, 1, 4]))
    target = torch.zeros(4, 2)
    velocity = torch.tensor([[1.0, 2.0], [3.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    assert velocity_loss(velocity, target, packing).item() == pytest.approx((5 + 9 / 3) / 2)


def test_contrastive_weights_each_jet_by_its_own_signal():
    clean, perturbed = torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    scale = 2.74
    first = math.log1p(math.exp(0.0)) + math.log1p(math.exp(-scale))  # jet 0: rows and columns of the logits
    second = math.log(2) + math.log1p(math.exp(scale))  # jet 1
    kept_first = contrastive_loss(clean, perturbed, torch.tensor([1.0, 0.0])).item()
    row_first = -math.log(math.exp(scale) / (2 * math.exp(scale)))
    column_first = -math.log(math.exp(scale) / (math.exp(scale) + 1))
    assert kept_first == pytest.approx((row_first + column_first) / 4, rel=1e-5)
    mean = contrastive_loss(clean, perturbed, torch.tensor([1.0, 0.0]), published=True).item()
    assert mean == pytest.approx(0.5 * (first + second) / 4, rel=1e-5)
