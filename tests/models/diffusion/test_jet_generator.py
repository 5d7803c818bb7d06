"""Jet kinematics: size, learning a distribution, sampling."""

import pytest
import torch
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models import JetGenerator, JetGeneratorConfig, SamplerConfig
from omnilearn_lab.models.diffusion import perturb_jets, sample_jets


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
