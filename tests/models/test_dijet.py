"""Networks of jet kinematics."""

import dataclasses
import logging

import pytest
import torch
from omnilearn_lab.errors import CheckpointError, ConfigError, JetsError
from omnilearn_lab.models import (
    PET,
    Batch,
    DijetClassifier,
    DijetConfig,
    DijetGenerator,
    JetGenerator,
    JetGeneratorConfig,
    PETConfig,
    SamplerConfig,
    load_checkpoint,
    save_checkpoint,
)
from omnilearn_lab.models.dijet import perturb_jets, sample_jets


def test_published_size():
    assert sum(p.numel() for p in JetGenerator(JetGeneratorConfig(n_classes=5)).parameters()) == 415_620


def test_untrained_velocity_is_zero_and_gradients_arrive_after_one_step():
    torch.manual_seed(0)
    model = JetGenerator(JetGeneratorConfig(width=16, n_classes=2))
    jet, time, label = torch.randn(6, 4), torch.rand(6), torch.tensor([0, 1] * 3)
    assert (model.velocity(jet, time, label) == 0).all()
    torch.nn.init.normal_(model.out.weight)
    model.velocity(jet, time, label).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())


def test_it_learns_two_separate_classes():
    torch.manual_seed(0)
    model = JetGenerator(JetGeneratorConfig(width=32, n_classes=2, n_jet_features=1, layer_scale=0.1))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(400):
        label = torch.randint(0, 2, (256,))
        jet = 0.3 * torch.randn(256, 1) + 2.0 * label[:, None] - 1.0
        time = torch.rand(256)
        noisy = perturb_jets(jet, time)
        loss = (model.velocity(noisy.jet, time, label) - noisy.target).square().mean()
        optimizer.zero_grad(), loss.backward(), optimizer.step()
    made = sample_jets(model.eval(), torch.tensor([0, 1]).repeat_interleave(500), config=SamplerConfig(8))
    for values, mean in ((made[:500], -1.0), (made[500:], 1.0)):
        assert values.mean().item() == pytest.approx(mean, abs=0.15)
        assert values.std().item() == pytest.approx(0.3, abs=0.15)


def test_same_seed_same_jets():
    model = JetGenerator(JetGeneratorConfig(width=16)).eval()
    label = torch.tensor([0, 3])
    first, again = (sample_jets(model, label, config=SamplerConfig(2, seed=4)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, sample_jets(model, label, config=SamplerConfig(2, seed=5)))


def test_bad_sizes_are_errors():
    with pytest.raises(ConfigError, match="greater than 0"):
        JetGeneratorConfig(width=0)


SMALL = PETConfig(width=8, n_layers=1, n_heads=2, n_jet_features=5, n_classes=1, layer_scale=1.0)


def make_model(condition="jets"):
    torch.manual_seed(0)
    model = DijetClassifier(DijetConfig(SMALL, n_jet_layers=2, condition=condition)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def make_batch(counts=(3, 1, 12, 7, 5, 5)):
    generator = torch.Generator().manual_seed(0)
    offsets = torch.tensor([0, *torch.tensor(counts).cumsum(0).tolist()])
    rows = torch.randn(sum(counts), 13, generator=generator)
    return Batch(rows, rows[:, :2], offsets, torch.randn(len(counts), 5, generator=generator))


def take(batch, jets):
    rows = torch.cat([torch.arange(int(batch.offsets[j]), int(batch.offsets[j + 1])) for j in jets])
    offsets = torch.nn.functional.pad(batch.counts[jets].cumsum(0), (1, 0))
    return Batch(batch.features[rows], batch.points[rows], offsets, batch.jet[jets])


def test_published_size_of_dijet():
    pet = PETConfig(n_jet_features=5, n_classes=1, class_token="zero")
    model = DijetClassifier(DijetConfig(pet, condition="mass"))
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    assert sum(counts.values()) == 2_947_979
    assert counts["body"] + counts["classifier"] == 1_587_334


@pytest.mark.parametrize("condition", ["jets", "mass"])
def test_events_do_not_see_each_other_and_jets_may_swap(condition):
    model, batch, mass = make_model(condition), make_batch(), torch.tensor([0.1, -0.4, 0.8])
    full = model.classify(batch, mass).logits
    assert full.shape == (3, 1)
    alone = model.classify(take(batch, [2, 3]), mass[1:2]).logits
    torch.testing.assert_close(alone, full[1:2], rtol=1e-4, atol=1e-4)
    swapped = model.classify(take(batch, [1, 0, 3, 2, 5, 4]), mass).logits
    torch.testing.assert_close(swapped, full, rtol=1e-4, atol=1e-4)
    repaired = model.classify(take(batch, [0, 2, 1, 3, 4, 5]), mass).logits
    assert (repaired[:2] - full[:2]).abs().max() > 1e-3


def test_gradient_reaches_every_parameter():
    model = make_model()
    output = model.classify(make_batch())
    (output.logits.square().sum() + output.jet.square().sum()).backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert [name for name in silent if not name.startswith("body.time")] == []


def test_pretrained_parts_are_taken_and_the_rest_is_named(caplog):
    model, pretrained = make_model(), PET(dataclasses.replace(SMALL, n_jet_features=4, n_classes=10))
    with caplog.at_level(logging.INFO, logger="omnilearn_lab.models"):
        kept = model.take(pretrained)
    assert set(kept) == {
        *("classifier.modulation.weight", "classifier.logits.weight", "classifier.logits.bias"),
        *("classifier.regression.weight", "classifier.regression.bias"),
    }
    assert torch.equal(model.body.embedding.first.weight, pretrained.body.embedding.first.weight)
    assert "classifier.logits.weight" in caplog.text
    with pytest.raises(ConfigError, match="different sizes"):
        model.take(PET(dataclasses.replace(SMALL, width=16)))


def test_generator_starts_at_zero_and_mixes_the_jets_of_an_event():
    torch.manual_seed(0)
    model = DijetGenerator(DijetConfig(SMALL, n_jet_layers=2)).eval()
    jets, time, label = torch.randn(3, 10, requires_grad=True), torch.rand(3), torch.ones(3, 2)
    assert (model.velocity(jets, time, label) == 0).all()
    torch.nn.init.normal_(model.jets.out.weight)
    (gradient,) = torch.autograd.grad(model.velocity(jets, time, label)[1, 0], jets)
    assert (gradient[1] != 0).all() and (gradient[[0, 2]] == 0).all()


def test_round_trip_and_errors(tmp_path):
    model, batch = make_model(), make_batch()
    path = save_checkpoint(model, tmp_path / "pair.safetensors")
    assert torch.equal(load_checkpoint(path).classify(batch).logits, model.classify(batch).logits)
    with pytest.raises(CheckpointError, match="no heads to replace"):
        load_checkpoint(path, n_classes=2)
    with pytest.raises(JetsError, match="events of 2"):
        model.classify(take(batch, [0, 1, 2]))
    with pytest.raises(JetsError, match="pass mass"):
        make_model("mass").classify(batch)
    with pytest.raises(ConfigError, match="did you mean 'jets'"):
        DijetConfig(condition="jet")
    with pytest.raises(ConfigError, match="greater than 0"):
        DijetConfig(n_jets=0)
