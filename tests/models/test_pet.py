"""PET: sizes, exactness of packing, gradients, heads."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models import PET, Batch, PETConfig, perturb
from torch.nn import functional

SMALL = PETConfig(width=16, n_layers=2, n_heads=2, n_classes=3, n_particle_classes=4, layer_scale=1.0)


def make_model(config=SMALL, seed=0):
    torch.manual_seed(seed)
    model = PET(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def make_batch(counts, seed=0, n_features=13):
    generator = torch.Generator().manual_seed(seed)
    offsets = torch.tensor([0, *torch.tensor(counts).cumsum(0).tolist()])
    features = torch.randn(sum(counts), n_features, generator=generator)
    label = torch.arange(len(counts)) % 3
    return Batch(features, features[:, :2], offsets, torch.randn(len(counts), 4, generator=generator), label)


def outputs(model, batch):
    time = torch.linspace(0.1, 1, len(batch))
    velocity = model.velocity(batch, time, batch.label)
    return (*model.classify(batch), velocity, model.classify_particles(batch))


def reorder(batch, jets, seed):
    """Jets in another order, particles of each jet shuffled; returns the batch and the row numbers."""
    generator = torch.Generator().manual_seed(seed)
    ranges = [torch.arange(int(batch.offsets[j]), int(batch.offsets[j + 1])) for j in jets]
    rows = [r[torch.randperm(len(r), generator=generator)] for r in ranges]
    offsets = torch.tensor([0, *torch.tensor([len(r) for r in rows]).cumsum(0).tolist()])
    rows = torch.cat(rows)
    return Batch(batch.features[rows], batch.points[rows], offsets, batch.jet[jets], batch.label[jets]), rows


def test_small_has_the_published_parameter_counts():
    assert PET(PETConfig.named("small", class_token="zero")).n_parameters == {
        "body": 1_318_784,
        "classifier": 269_326,
        "generator": 417_165,
    }
    two = PET(PETConfig.named("small", n_classes=2))
    assert two.n_parameters["classifier"] == 268_294 + 128  # the trained class token


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=5), st.integers(0, 100))
def test_output_depends_neither_on_order_nor_on_other_jets(counts, seed):
    model, batch = make_model(), make_batch(counts, seed)
    time = torch.rand(len(counts), generator=torch.Generator().manual_seed(seed))
    jets = torch.randperm(len(counts), generator=torch.Generator().manual_seed(seed))[:-1].tolist()
    part, rows = reorder(batch, jets, seed)
    with torch.no_grad():
        for before, after in zip(model.classify(batch), model.classify(part), strict=True):
            torch.testing.assert_close(before[jets], after, rtol=1e-4, atol=1e-4)
        before = model.velocity(batch, time, batch.label)[rows]
        torch.testing.assert_close(before, model.velocity(part, time[jets], part.label), rtol=1e-4, atol=1e-4)
        before = model.classify_particles(batch)[rows]
        torch.testing.assert_close(before, model.classify_particles(part), rtol=1e-4, atol=1e-4)


def test_padded_length_does_not_exist():
    model, batch = make_model(), make_batch([1, 7, 12])
    for length in (12, 40):
        padded = batch.to_padded(batch.features, length=length)
        mask = batch.to_padded(torch.ones(20), length=length) > 0
        again = Batch.from_padded(padded, mask, jet=batch.jet)
        assert torch.equal(model.classify(batch).logits, model.classify(again).logits)


def test_no_gradient_from_one_jet_to_another():
    model, batch = make_model(), make_batch([5, 9, 20])
    batch = batch.replace(features=batch.features.clone().requires_grad_())
    for output in outputs(model, batch)[:2]:
        (gradient,) = torch.autograd.grad(output[1].sum(), batch.features, retain_graph=True)
        reached = gradient.abs().sum(1) > 0
        assert reached[5:14].all() and not reached[:5].any() and not reached[14:].any()


def test_gradient_reaches_every_parameter():
    model, batch = make_model(), make_batch([1, 9, 20, 33])
    sum(output.square().sum() for output in outputs(model, batch)).backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


def test_joint_pass_equals_separate_passes():
    model, batch = make_model(), make_batch([1, 9, 20, 33])
    time = torch.tensor([0.0, 0.3, 0.7, 1.0])
    noisy = perturb(batch, time).batch
    joint = model.joint(batch, noisy, time, batch.label)
    expected = model.classify(batch), model.classify(noisy, time)
    for ours, reference in zip((joint.clean, joint.perturbed), expected, strict=True):
        torch.testing.assert_close(ours.logits, reference.logits, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(ours.jet, reference.jet, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(joint.velocity, model.velocity(noisy, time, batch.label), rtol=1e-4, atol=1e-4)


def test_time_zero_is_the_clean_pass():
    model, batch = make_model(), make_batch([4, 11])
    torch.testing.assert_close(model.body(batch), model.body(batch, torch.zeros(2)))


def test_drops_act_in_training_only_and_per_jet():
    model = make_model(dataclasses.replace(SMALL, feature_drop=0.5, label_drop=0.5))
    batch = make_batch([3] * 40)
    assert torch.equal(model.body.drop_features(batch.features, batch.packing), batch.features)
    model.train()
    dropped = model.body.drop_features(batch.features, batch.packing)
    assert torch.equal(dropped[:, :7], batch.features[:, :7])
    gone = (dropped[:, 7:] == 0).view(40, -1)
    assert (gone.all(1) | ~gone.any(1)).all() and 5 < gone.all(1).sum() < 35
    one_hot, time = functional.one_hot(batch.label, 3).float(), torch.full((40,), 0.5)
    zero = model.generator.conditioning(batch.jet, time, None)
    change = model.generator.conditioning(batch.jet, time, one_hot) - zero
    expected = model.generator.label(one_hot)
    is_kept = (change - expected).abs().amax(1) < 1e-5
    assert (is_kept | (change.abs().amax(1) == 0)).all() and 5 < is_kept.sum() < 35


def test_one_step_lowers_the_loss():
    torch.manual_seed(0)
    model, batch = PET(SMALL), make_batch([8] * 12)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(5):
        loss = functional.cross_entropy(model.classify(batch).logits, batch.label)
        optimizer.zero_grad(), loss.backward(), optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_bfloat16_autocast_stays_near_float32():
    model, batch = make_model(dataclasses.replace(SMALL, layer_scale=1e-5), 3), make_batch([5, 30, 17])
    exact = model.classify(batch).logits
    with torch.autocast("cpu", torch.bfloat16):
        rough = model.classify(batch).logits
    rough.sum().backward()
    assert rough.dtype == torch.float32
    assert (rough - exact).abs().max() < 0.1 * exact.abs().max()


def test_replacing_heads_renews_only_what_changes_shape():
    model = make_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    renewed = model.replace_heads(n_classes=2, n_jet_features=5)
    assert set(renewed) == {
        "classifier.logits.weight",
        "classifier.logits.bias",
        "classifier.modulation.weight",
        "classifier.modulation.bias",
        "classifier.regression.weight",
        "classifier.regression.bias",
        "generator.jet.weight",
        "generator.jet.bias",
        "generator.label.weight",
        "particle.modulation.weight",
        "particle.modulation.bias",
    }
    for name, value in model.state_dict().items():
        if name not in renewed:
            assert torch.equal(value, before[name]), name
    batch = make_batch([3, 4]).replace(jet=torch.randn(2, 5), label=torch.tensor([0, 1]))
    assert model.classify(batch).logits.shape == (2, 2)
    assert model.velocity(batch, torch.rand(2), batch.label).shape == (7, 3)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"width": 30}, "n_heads"),
        ({"class_token": "trained?"}, "class_token"),
        ({"feature_drop": 1.5}, "less than 1"),
        ({"n_diffused": 14}, "n_diffused"),
    ],
)
def test_bad_settings_are_named(values, word):
    with pytest.raises(ConfigError, match=word):
        PETConfig(**values)


def test_unknown_size_and_missing_head_are_errors():
    with pytest.raises(ConfigError, match="did you mean 'small'"):
        PETConfig.named("smal")
    with pytest.raises(ConfigError, match="n_particle_classes"):
        PET(PETConfig.named("tiny")).classify_particles(make_batch([3]))
