"""The baselines."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models import (
    PET,
    PFN,
    Batch,
    ParticleNet,
    ParticleNetConfig,
    PETConfig,
    PFNConfig,
    PlainTransformer,
    PlainTransformerConfig,
    load_checkpoint,
    save_checkpoint,
)
from omnilearn_lab.models.baselines import TrackTransformer, TrackTransformerConfig
from torch.nn import functional

CONFIGS = {
    PFN: PFNConfig(n_classes=3, particle_widths=(16, 8), jet_widths=(8,)),
    ParticleNet: ParticleNetConfig(n_classes=3, n_neighbors=4, widths=(8, 12), n_layers=2, jet_width=8),
    PlainTransformer: PlainTransformerConfig(n_classes=3, width=16, n_layers=2, n_heads=2),
}
each_network = pytest.mark.parametrize("network", CONFIGS, ids=lambda n: n.__name__)


def make_model(network, seed=0):
    """A network with weights, and running means and variances, far from their start values."""
    torch.manual_seed(seed)
    model = network(CONFIGS[network])
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5) if "var" in name else value.normal_(std=0.3)
    return model.eval()


def make_batch(counts, seed=0):
    generator = torch.Generator().manual_seed(seed)
    offsets = torch.tensor([0, *torch.tensor(counts).cumsum(0).tolist()])
    features = torch.randn(sum(counts), 13, generator=generator)
    return Batch(
        features, features[:, :2], offsets, torch.zeros(len(counts), 4), torch.arange(len(counts)) % 3
    )


def shuffled(batch, jets, seed):
    """Jets in another order, and the particles of each shuffled."""
    generator = torch.Generator().manual_seed(seed)
    ranges = [torch.arange(int(batch.offsets[j]), int(batch.offsets[j + 1])) for j in jets]
    rows = [r[torch.randperm(len(r), generator=generator)] for r in ranges]
    offsets = torch.tensor([0, *torch.tensor([len(r) for r in rows]).cumsum(0).tolist()])
    rows = torch.cat(rows)
    return Batch(batch.features[rows], batch.points[rows], offsets, batch.jet[jets])


@each_network
@settings(max_examples=10)
@given(st.lists(st.integers(1, 30), min_size=2, max_size=5), st.integers(0, 100))
def test_output_depends_neither_on_order_nor_on_other_jets(network, counts, seed):
    model, batch = make_model(network), make_batch(counts, seed)
    jets = torch.randperm(len(counts), generator=torch.Generator().manual_seed(seed))[:-1].tolist()
    with torch.no_grad():
        before, after = model.classify(batch), model.classify(shuffled(batch, jets, seed))
    assert before.logits.shape == (len(counts), 3) and before.jet.shape == (len(counts), 0)
    torch.testing.assert_close(before.logits[jets], after.logits, rtol=1e-4, atol=1e-4)


@each_network
def test_gradient_reaches_every_parameter_and_no_other_jet(network):
    model, batch = make_model(network), make_batch([1, 9, 20, 33])
    batch = batch.replace(features=batch.features.clone().requires_grad_())
    logits = model.classify(batch).logits
    (gradient,) = torch.autograd.grad(logits[1].square().sum(), batch.features, retain_graph=True)
    reached = gradient.abs().sum(1) > 0
    assert reached[1:10].any() and not reached[:1].any() and not reached[10:].any()
    logits.square().sum().backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


@each_network
def test_saved_and_loaded_it_answers_the_same(network, tmp_path):
    model, batch = make_model(network), make_batch([1, 9, 20])
    again = load_checkpoint(save_checkpoint(model, tmp_path / "a.safetensors", {"seed": 3}))
    assert type(again) is network and again.config == model.config
    assert torch.equal(again.classify(batch).logits, model.classify(batch).logits)


@each_network
def test_steps_lower_the_loss(network):
    torch.manual_seed(0)
    model, batch = network(CONFIGS[network]), make_batch([8] * 30)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(20):
        loss = functional.cross_entropy(model.eval().classify(batch).logits, batch.label)
        losses.append(loss.item())
        optimizer.zero_grad()
        functional.cross_entropy(model.train().classify(batch).logits, batch.label).backward()
        optimizer.step()
    assert losses[-1] < losses[0]


@each_network
def test_bfloat16_autocast_stays_near_float32(network):
    model, batch = make_model(network), make_batch([5, 30, 17])
    with torch.no_grad():
        exact = model.classify(batch).logits
        with torch.autocast("cpu", torch.bfloat16):
            rough = model.classify(batch).logits
    assert rough.dtype == torch.float32 and not torch.equal(rough, exact)
    torch.testing.assert_close(rough, exact, rtol=0.05, atol=0.05 * float(exact.abs().max()))


@each_network
def test_named_sizes(network):
    config = type(CONFIGS[network])
    assert config.named("paper") == config()
    assert config.named("tiny", n_classes=7).n_classes == 7
    with pytest.raises(ConfigError, match="tiny"):
        config.named("tine")


def test_numbers_of_parameters():
    """The papers' counts, but for the 13 inputs here: 7 in ParticleNet (366k), 4 in the PFN (82k)."""
    counts = {m: sum(m().n_parameters.values()) for m in (PFN, ParticleNet)}
    assert counts[ParticleNet] == 366_160 + 6 * (2 * 64 + 64 + 2)  # first layer, shortcut, input norm
    assert counts[PFN] == 82_558 + 9 * 100
    pet = PET(PETConfig.named("tiny", n_classes=2)).n_parameters
    plain = sum(PlainTransformer(PlainTransformerConfig.named("tiny")).n_parameters.values())
    assert plain == pytest.approx(pet["body"] + pet["classifier"], rel=0.1)


def test_pfn_is_a_function_of_the_sum_over_particles():
    model, batch = make_model(PFN), make_batch([1, 4, 11])
    one_by_one = [model.particle(batch.features[a:b]).sum(0) for a, b in ((0, 1), (1, 5), (5, 16))]
    expected = model.out(model.jet(torch.stack(one_by_one)))
    torch.testing.assert_close(model.classify(batch).logits, expected, rtol=1e-5, atol=1e-5)


def particle_net_of_one_jet(model, features, points):
    """ParticleNet's formula with loops over particles and neighbours, in evaluation mode."""
    rows = model.norm(features)
    for block in model.blocks:
        distance = torch.cdist(points, points)
        updated = []
        for i in range(len(rows)):
            others = [j for j in distance[i].argsort().tolist() if j != i][: model.config.n_neighbors]
            messages = []
            for j in others:
                edge = block.first(torch.cat([rows[i], rows[j] - rows[i]]))[None]
                edge = functional.relu(block.norms[0](edge))
                for layer, norm in zip(block.further, block.norms[1:], strict=True):
                    edge = functional.relu(norm(layer(edge)))
                messages.append(edge[0])
            shortcut = block.norm_shortcut(block.shortcut(rows[i])[None])[0]
            mean = torch.stack(messages).mean(0) if messages else torch.zeros_like(shortcut)
            updated.append(functional.relu(mean + shortcut))
        rows = points = torch.stack(updated)
    return model.out(functional.relu(model.jet(rows.mean(0))))


def test_particle_net_equals_plain_loops():
    model, batch = make_model(ParticleNet).double(), make_batch([1, 3, 14])
    batch = batch.replace(features=batch.features.double(), points=batch.points.double())
    bounds = zip(batch.offsets, batch.offsets[1:], strict=False)
    expected = [particle_net_of_one_jet(model, batch.features[a:b], batch.points[a:b]) for a, b in bounds]
    found = model.logits(batch)
    # shares of neighbours are float32 numbers
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-6, atol=1e-6)


def test_particle_net_norms_see_real_edges_only():
    """In training, the running mean of the first edge norm is that over all pairs (i, j) of the graph."""
    model = make_model(ParticleNet).train()
    block, batch = model.blocks[0], make_batch([2, 3])  # fewer others than neighbours: unused places exist
    block.norms[0].reset_running_stats()
    block.norms[0].momentum = 1.0
    rows = model.norm(batch.features)
    model.logits(batch)
    pairs = [(0, 1), (1, 0), (2, 3), (2, 4), (3, 2), (3, 4), (4, 2), (4, 3)]
    edges = torch.stack([torch.cat([rows[i], rows[j] - rows[i]]) for i, j in pairs])
    torch.testing.assert_close(block.norms[0].running_mean, block.first(edges).mean(0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("config", "changes"),
    [
        (PFNConfig, {"jet_widths": ()}),
        (ParticleNetConfig, {"widths": ()}),
        (ParticleNetConfig, {"dropout": 1.0}),
        (PlainTransformerConfig, {"n_heads": 7}),
        (PlainTransformerConfig, {"dropout": -0.1}),
    ],
)
def test_impossible_sizes_are_refused(config, changes):
    with pytest.raises(ConfigError):
        config(**changes)


SMALL = {"width": 16, "n_layers": 2, "n_heads": 2}
CONFIG = TrackTransformerConfig(n_extra=3, n_condition=2, n_particle_classes=5, **SMALL)


def make_batch_of_transformer(counts=(3, 1, 6), seed=0):
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


def make_model_of_transformer(config=CONFIG):
    torch.manual_seed(0)
    model = TrackTransformer(config)
    for parameter in model.parameters():
        parameter.data.normal_(std=0.3)
    return model.eval()


@torch.no_grad()
def test_output_depends_neither_on_order_nor_on_other_jets_of_transformer():
    model, batch = make_model_of_transformer(), make_batch_of_transformer()
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
    model, batch = make_model_of_transformer(), make_batch_of_transformer()
    told, tracks = model.classify_all(batch, batch.label)
    other, tracks_of_other = model.classify_all(batch, 3 - batch.label)
    torch.testing.assert_close(told.logits, model.classify(batch).logits)
    torch.testing.assert_close(told.logits, other.logits)
    torch.testing.assert_close(tracks, tracks_of_other)
    assert tracks.shape == (10, 5) and told.logits.shape == (3, 4)


def test_gradient_reaches_every_parameter_and_a_step_lowers_the_loss():
    model, batch = make_model_of_transformer(), make_batch_of_transformer()
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
        make_model_of_transformer()(make_batch_of_transformer().replace(extra=None))
    with pytest.raises(ConfigError, match="n_particle_classes=0"):
        make_model_of_transformer(TrackTransformerConfig(n_extra=3, n_condition=2, **SMALL)).classify_all(
            make_batch_of_transformer()
        )
    with pytest.raises(ConfigError, match="width 10"):
        TrackTransformerConfig(width=10)
    with pytest.raises(ConfigError, match="no size 'large'"):
        TrackTransformerConfig.named("large")
