"""Distillation, checked where the flow is known: mixtures of Gaussians."""

import copy

import pytest
import torch
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models.diffusion import average_velocity, cosine_level, distillation_pair, follow
from tests.training.helpers import packed, small_model
from torch import nn

PARTS = ((0.5, -1.0, 0.3), (0.3, 1.0, 0.1), (0.2, 0.5, 0.8))


def mixture_velocity(state, time):
    """The exact velocity of three Gaussians (weight, mean, spread); times may differ by row."""
    alpha, sigma = cosine_level(torch.as_tensor(time, dtype=state.dtype))
    clean, total = torch.zeros_like(state), torch.zeros_like(state)
    for weight, mean, spread in PARTS:
        variance = (alpha * spread) ** 2 + sigma**2
        share = weight * torch.exp(-((state - alpha * mean) ** 2) / (2 * variance)) / variance.sqrt()
        clean += share * (mean + alpha * spread**2 * (state - alpha * mean) / variance)
        total += share
    return (alpha * state - clean / total.clamp(min=1e-300)) / sigma


def noise(n=400):
    return torch.randn(n, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def rms(a, b):
    return (a - b).square().mean().sqrt().item()


@pytest.fixture(scope="module")
def exact():
    return follow(mixture_velocity, noise(), 400, method="rk4")


@pytest.mark.parametrize("n_steps", [1, 2, 4])
def test_euler_steps_with_the_average_velocity_are_exact(n_steps, exact):
    def average(state, time):
        span = (torch.full_like(state, time), torch.full_like(state, time - 1 / n_steps))
        return average_velocity(mixture_velocity, state, span, method="rk4", n_substeps=200 // n_steps)

    assert rms(follow(average, noise(), n_steps, method="euler"), exact) < 1e-3
    assert rms(follow(mixture_velocity, noise(), n_steps, method="euler"), exact) > 3e-2


def test_rows_have_times_of_their_own():
    state = noise(6)
    late = torch.linspace(0.3, 1.0, 6, dtype=torch.float64)[:, None]
    together = average_velocity(mixture_velocity, state, (late, late - 0.25), n_substeps=3)
    for i in range(6):
        one = average_velocity(mixture_velocity, state[i : i + 1], (late[i], late[i] - 0.25), n_substeps=3)
        torch.testing.assert_close(together[i : i + 1], one)


class Network(nn.Module):
    """Velocity of a one-dimensional state at a time."""

    def __init__(self):
        super().__init__()
        sizes = (2, 64, 64, 1)
        layers = [
            part for a, b in zip(sizes, sizes[1:], strict=False) for part in (nn.Linear(a, b), nn.SiLU())
        ]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, state, time):
        return self.layers(torch.cat([state, torch.as_tensor(time).expand_as(state).float()], 1))


def test_a_student_of_four_steps_beats_its_teacher_at_four_steps():
    """Network against network: the student is distilled from a network that learned the exact velocity."""
    torch.manual_seed(0)
    weights, means, spreads = (torch.tensor(column) for column in zip(*PARTS, strict=True))

    def data(n):
        chosen = torch.multinomial(weights, n, replacement=True)
        return (means[chosen] + spreads[chosen] * torch.randn(n))[:, None]

    def train(network, target, n_updates):
        optimizer = torch.optim.Adam(network.parameters(), 3e-3)
        for step in range(n_updates):
            optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / n_updates)
            state, time, wanted = target(data(512))
            loss = (network(state, time) - wanted).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def at(clean, time):
        alpha, sigma = cosine_level(time)
        return alpha * clean + sigma * torch.randn_like(clean)

    def exact(clean):
        time = torch.rand_like(clean)
        state = at(clean, time)
        return state, time, mixture_velocity(state, time)

    teacher = Network()
    train(teacher, exact, 1500)
    frozen = copy.deepcopy(teacher).requires_grad_(False)

    def average(clean):
        time = torch.randint(1, 5, clean.shape) / 4
        state = at(clean, time)
        return state, time, average_velocity(frozen, state, (time, time - 0.25), n_substeps=2)

    student = copy.deepcopy(teacher)
    train(student, average, 800)
    start = noise().float()
    with torch.no_grad():
        converged = follow(frozen, start, 64)
        few = {
            n: rms(follow(net, start, 4, method="euler"), converged)
            for n, net in (("teacher", frozen), ("student", student))
        }
    assert few["student"] < 0.6 * few["teacher"], few


def test_pairs_of_jets():
    teacher, jets = small_model().eval(), packed(6)
    torch.manual_seed(1)
    pair, time = distillation_pair(teacher, jets, 4, solver=("ralston3", 2))
    assert pair.target.shape == (len(jets.features), 3) and not pair.target.requires_grad
    assert set((4 * time).tolist()) <= {1.0, 2.0, 3.0, 4.0}
    torch.manual_seed(1)
    guided, _ = distillation_pair(teacher, jets, 4, solver=("ralston3", 2), guidance=1.0)
    torch.testing.assert_close(guided.batch.features, pair.batch.features)
    assert not torch.allclose(guided.target, pair.target)


def test_short_steps_give_the_velocity_itself():
    torch.manual_seed(1)
    teacher, jets = small_model().eval(), packed(6)
    pair, time = distillation_pair(teacher, jets, 2000)
    with torch.no_grad():
        velocity = teacher.velocity(pair.batch, time, jets.label)
    assert rms(pair.target, velocity) < 0.05 * velocity.square().mean().sqrt()


def test_bad_requests_are_errors():
    with pytest.raises(ConfigError, match="n_steps"):
        distillation_pair(small_model(), packed(4), 0)
    time = torch.ones(1, 1)
    with pytest.raises(ConfigError, match="n_substeps"):
        average_velocity(mixture_velocity, time, (time, 0 * time), n_substeps=0)
