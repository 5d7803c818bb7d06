"""Every network, mode and sampler on a pretended accelerator: made in the right place, and never waiting."""

import dataclasses

import pytest
import torch
from benchmarks.pretended import Pretended
from omnilearn_lab.models import (
    PET,
    PFN,
    Batch,
    DijetClassifier,
    DijetConfig,
    DijetGenerator,
    JetGenerator,
    JetGeneratorConfig,
    JetInputs,
    ParticleNet,
    ParticleNetConfig,
    PETConfig,
    PETv2,
    PETv2Config,
    PFNConfig,
    PlainTransformer,
    PlainTransformerConfig,
    PublishedPET,
    SamplerConfig,
    perturb,
    perturb_flow,
    sample,
)
from omnilearn_lab.models.adapters import add_adapters
from omnilearn_lab.models.baselines import RowClassifier, TrackTransformer, TrackTransformerConfig, rows_batch
from omnilearn_lab.models.diffusion import denoising_path, distillation_pair
from omnilearn_lab.models.dijet import perturb_jets, sample_jets
from torch.nn import functional

COUNTS = torch.tensor([3, 1, 20, 7, 12, 40])
OFFSETS = functional.pad(COUNTS.cumsum(0), (1, 0))
N = int(OFFSETS[-1])
V1 = {"width": 16, "n_layers": 2, "n_heads": 2, "n_classes": 3, "layer_scale": 0.1}
V2 = {"width": 16, "n_layers": 2, "n_heads": 2, "n_head_layers": 2, "n_classes": 3}
TOLD = {"n_species": 9, "n_extra": 4, "n_condition": 3, "feature_drop": 0.1}


def jets(n_features=13, n_jet_features=4):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(N, n_features, generator=generator)
    return Batch(
        features,
        features[:, :2],
        OFFSETS,
        torch.randn(6, n_jet_features, generator=generator),
        label=torch.tensor([0, 1, 2, 0, 1, 2]),
        weight=torch.ones(6),
        pid=torch.arange(N) % 9,
        extra=torch.randn(N, 4, generator=generator),
        condition=torch.rand(6, 3, generator=generator),
        particle_label=torch.arange(N) % 4,
    )


def v1(model, batch):
    noisy = perturb(batch, (time := torch.rand(len(batch), device=batch.features.device)))
    yield model.classify(batch)
    yield model.velocity(noisy.batch, time, batch.label)
    joint = model.joint(batch, noisy.batch, time, batch.label)
    yield (*joint.clean, *joint.perturbed, joint.velocity)
    yield [model.embed(batch)]
    if model.particle is not None:
        yield [model.classify_particles(batch)]


def v2(model, batch):
    config = model.config
    noisy = perturb_flow(batch, (time := torch.rand(len(batch), device=batch.features.device)))
    yield [model.embed(batch)]
    if config.has_classifier:
        yield model.classify(batch)
    if config.mode in ("generator", "pretrain"):
        yield [model.velocity(noisy.batch, time, batch.label)]
        yield model.body(noisy.batch, time).leads(), model.body(noisy.batch, time).particles()
    if config.mode == "pretrain":
        joint = model.joint(batch, noisy.batch, time, batch.label)
        yield (*joint.clean, *joint.perturbed, joint.velocity)
    if config.mode in ("ftag", "segmentation"):
        yield [model.classify_particles(batch, batch.label)]
    if config.mode == "ftag":
        output, tracks = model.classify_all(batch, batch.label)
        yield (*output, tracks)


def classify(model, batch):
    yield model.classify(batch)


def modes():
    for mode in ("classifier", "regression", "generator", "pretrain", "ftag", "segmentation"):
        tracks = {"n_particle_classes": 4} if mode in ("ftag", "segmentation") else {}
        yield f"PETv2 {mode}", lambda m=mode, t=tracks: (PETv2(PETv2Config(mode=m, **V2, **t)), jets(4), v2)
        told = TOLD | tracks
        yield (
            f"PETv2 {mode}, told",
            lambda m=mode, t=told: (PETv2(PETv2Config(mode=m, **V2, **t)), jets(4), v2),
        )


def published():
    config = PETConfig(**V1, class_token="zero")
    return PublishedPET.of(PET(config), padded_length=60), jets(), v1


NETWORKS = {
    "PET": lambda: (PET(PETConfig(**V1)), jets(), v1),
    "PET with particle classes": lambda: (PET(PETConfig(**V1, n_particle_classes=4)), jets(), v1),
    "PET, published padding": published,
    **dict(modes()),
    "PETv2 without pairs": lambda: (PETv2(PETv2Config(**V2, use_pair_bias=False)), jets(4), v2),
    "PFN": lambda: (PFN(PFNConfig.named("tiny", n_classes=3)), jets(), classify),
    "ParticleNet": lambda: (ParticleNet(ParticleNetConfig.named("tiny", n_classes=3)), jets(), classify),
    "plain transformer": lambda: (
        PlainTransformer(PlainTransformerConfig.named("tiny", n_classes=3)),
        jets(),
        classify,
    ),
    "track transformer": lambda: (
        TrackTransformer(TrackTransformerConfig.named("tiny", n_extra=4, n_condition=3)),
        jets(4),
        classify,
    ),
    "table": lambda: (
        RowClassifier(torch.zeros(2), torch.ones(2)),
        rows_batch(torch.zeros(9, 2)),
        classify,
    ),
    "dijets": lambda: (DijetClassifier(dijets()), jets(13, 5), classify),
    "dijets, mass": lambda: (
        DijetClassifier(dijets(condition="mass")),
        jets(13, 5),
        lambda model, batch: [model.classify(batch, batch.weight[::2])],
    ),
}


def dijets(**changes):
    return DijetConfig(PETConfig(**V1, n_jet_features=5), n_jet_layers=1, **changes)


def check(run, outputs):
    """All on the device; the gradient of their sum reaches the parameters without a question."""
    outputs = [value for value in outputs if value.numel()]
    assert {value.device for value in outputs} == {run.device}
    sum(value.float().sum() for value in outputs).backward()


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name):
    model, batch, paths = NETWORKS[name]()
    with Pretended() as run:
        model = model.train().to(run.device)
        run.names.clear()
        batch = batch.to(run.device)
        for outputs in paths(model, batch):
            check(run, outputs)
    assert run.waits == 0 and run.launches > 0
    assert any(parameter.grad is not None for parameter in model.parameters())


def gradients_of(model, batch, paths):
    """Outputs of every call, and the gradients of a weighted sum of them."""
    model.zero_grad()
    torch.manual_seed(3)  # times and noise
    outputs = [value for values in paths(model, batch) for value in values if value.numel()]
    weights = [torch.cos(torch.arange(value.numel()).float()).view_as(value) for value in outputs]
    sum((value * weight).sum() for value, weight in zip(outputs, weights, strict=True)).backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return outputs, gradients


@pytest.mark.parametrize("name", NETWORKS)
def test_the_one_block_of_an_accelerator_gives_the_same(name):
    """Values and gradients of all calls agree with those of the CPU layout to 1e-5 of the largest."""
    torch.manual_seed(0)
    model, batch, paths = NETWORKS[name]()
    model.eval()
    many, of_many = gradients_of(model, batch.planned(one_block=False), paths)
    one, of_one = gradients_of(model, batch.planned(one_block=True), paths)
    assert of_many.keys() == of_one.keys()
    largest = max(value.abs().max() for value in of_many.values())
    for ours, expected in zip(one, many, strict=True):
        assert (ours - expected).abs().max() <= 1e-5 * max(1.0, expected.abs().max())
    for key, expected in of_many.items():
        assert (of_one[key] - expected).abs().max() <= 1e-5 * max(largest, expected.abs().max()), key


@pytest.mark.parametrize("name", ["PET", "PETv2 pretrain", "PETv2 ftag, told"])
def test_two_blocks_give_the_same(name):
    model, batch, paths = NETWORKS[name]()
    offsets = functional.pad(torch.tensor([2, 1, 3, 74, 1, 2]).cumsum(0), (1, 0))
    batch = Batch(
        **{f.name: getattr(batch, f.name) for f in dataclasses.fields(batch)} | {"offsets": offsets}
    )
    assert len(batch.planned(one_block=True).packing.groups) == 2
    many, of_many = gradients_of(model.eval(), batch, paths)
    one, of_one = gradients_of(model, batch.planned(one_block=True), paths)
    for ours, expected in [*zip(one, many, strict=True), *((of_one[k], of_many[k]) for k in of_many)]:
        assert (ours - expected).abs().max() <= 2e-5 * max(1.0, expected.abs().max())


def test_jet_level_networks_and_adapters():
    adapted = PET(PETConfig(**V1))
    add_adapters(adapted, 2)
    with Pretended() as run:
        model = JetGenerator(JetGeneratorConfig(n_classes=3, width=8)).to(run.device)
        generator, adapted = DijetGenerator(dijets()).to(run.device), adapted.to(run.device)
        run.names.clear()
        jet, label = torch.zeros(6, 4).to(run.device, non_blocking=True), jets().to(run.device).label
        moved = perturb_jets(jet, (time := torch.rand(6, device=run.device)))
        check(run, [model.velocity(moved.jet, time, label)])
        told = torch.ones(6, 2, device=run.device)
        check(run, [generator.velocity(torch.zeros(6, 10, device=run.device), time, told)])
        check(run, adapted.classify(jets().to(run.device)))
    assert run.waits == 0


@pytest.mark.parametrize("method", ["euler", "midpoint", "heun", "ralston3", "rk4", "ddim", "published"])
def test_samplers_of_pet(method):
    config, told = SamplerConfig(2, method, batch_size=4), JetInputs(COUNTS, torch.zeros(6, 4))
    with Pretended() as run:
        model = PET(PETConfig(**V1)).eval().to(run.device)
        run.names.clear()
        made = sample(model, told._replace(label=torch.zeros(6, dtype=torch.int64)), config=config)
        assert made.particles.shape == (N, 3) and made.particles.device == run.device
    assert run.waits == 0


@pytest.mark.parametrize("method", ["euler", "midpoint", "ralston3"])
def test_samplers_of_pet_v2(method):
    batch, config = jets(4), SamplerConfig(2, method, batch_size=4)
    told = JetInputs(COUNTS, None, batch.label, batch.condition, batch.pid, batch.extra)
    with Pretended() as run:
        model = PETv2(PETv2Config(mode="generator", **V2, **TOLD)).eval().to(run.device)
        run.names.clear()
        made = sample(model, told, config=config)
        assert made.particles.shape == (N, 4) and made.particles.device == run.device
    assert run.waits == 0


def test_guidance_trajectories_jets_and_distillation():
    with Pretended() as run:
        model, batch = PET(PETConfig(**V1)).eval().to(run.device), jets().to(run.device)
        kinematics = JetGenerator().to(run.device)
        run.names.clear()
        sample(model, JetInputs(COUNTS, torch.zeros(6, 4)), config=SamplerConfig(2, guidance=1.0))
        path = denoising_path(model, batch, config=SamplerConfig(2))
        pair, time = distillation_pair(model, batch, 4)
        made = sample_jets(kinematics, batch.label, config=SamplerConfig(2))
        for value in (*path[1:], pair.target, time, made):
            assert value.device == run.device
    assert run.waits == 0


def test_a_question_to_the_device_is_seen():
    """What these tests find: values asked for, copies that stop the host, tensors in the wrong place."""
    with Pretended() as run:
        values = torch.ones(3).to(run.device, non_blocking=True)
        assert (run.launches, run.waits) == (1, 0)
        torch.ones(3).to(run.device)
        assert run.waits == 1
        for ask in (lambda: values.sum().item(), lambda: values.nonzero(), lambda: torch.unique(values)):
            before = run.waits
            with pytest.raises(Exception, match=r"aten\.|data|unbacked|symbol"):
                ask()
            assert run.waits == before + 1
        with pytest.raises(RuntimeError, match="device"):
            values + torch.ones(3)
