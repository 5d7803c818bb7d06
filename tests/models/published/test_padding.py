"""Parity with arrays made by the original PET (../shared/fixtures), both file layouts, gradients included."""

import pathlib

import numpy as np
import pytest
import torch
from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.models import PET, Batch, PETConfig, PublishedPET
from omnilearn_lab.models.published.v1 import keras_names, load_keras
from torch.nn import functional

FIXTURES = pathlib.Path(__file__).resolve().parents[4] / "shared" / "fixtures"
NAMES = ("pet_v1_keras_small", "pet_v1_keras214_tiny")
TOLERANCE = 1e-5  # of an array's largest number
LOOSE = 1.2e-5  # velocity: a jet of one particle at t = 1 sets it, see facts/models.md 5.3

pytestmark = pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"no parity fixtures in {FIXTURES}")


class Case:
    """One fixture: arrays, packed batches, network."""

    def __init__(self, name, *, ema=False):
        self.arrays = np.load(FIXTURES / f"{name}.npz")
        self.mask = self["mask"].bool()
        self.network = load_keras(FIXTURES / f"{name}.weights.h5", ema=ema)
        self.model = PublishedPET.of(self.network, padded_length=self.mask.shape[1])
        self.clean = Batch.from_padded(self["x"], self.mask, jet=self["jet"])
        self.noisy = Batch.from_padded(self["x_pert"], self.mask, jet=self["jet"])
        self.time = self["t"][:, 0]

    def __getitem__(self, key):
        return torch.from_numpy(self.arrays[key])

    def agrees(self, ours, key, tolerance=TOLERANCE):
        expected = self[key]
        if expected.shape[:2] == self.mask.shape and ours.shape[0] == self.mask.sum():
            expected = expected[self.mask]
        error = (ours - expected).abs().max() / expected.abs().max().clamp(min=1e-20)
        assert ours.shape == expected.shape and error <= tolerance, f"{key}: {error:.2e}"


@pytest.fixture(scope="module", params=NAMES)
def case(request):
    return Case(request.param)


def test_body_and_heads(case):
    with torch.no_grad():
        case.agrees(case.model.embed(case.clean), "clean_body")
        case.agrees(case.model.embed(case.clean, torch.zeros(len(case.clean))), "clean_body")
        case.agrees(case.model.embed(case.noisy, case.time), "pert_body")
        for prefix, output in (
            ("clean", case.model.classify(case.clean)),
            ("pert", case.model.classify(case.noisy, case.time)),
        ):
            case.agrees(output.logits, f"{prefix}_logits")
            case.agrees(output.jet, f"{prefix}_reg")
        velocity = case.model.velocity_columns(case.noisy, case.time, case["label"])
        case.agrees(velocity, "pert_v", LOOSE)
        case.agrees(case.model.velocity_columns(case.noisy, case.time), "pert_v_nolabel", LOOSE)
        joint = case.model.joint(case.clean, case.noisy, case.time, case["label"].argmax(1))
        case.agrees(joint.perturbed.logits, "pert_logits")
        assert torch.equal(joint.velocity, velocity[:, :3])


def test_every_stage_of_the_body(case):
    """Intermediate results, ghost rows included."""
    seen = {}
    body = case.network.body
    stages = {
        "fourier": body.time,
        "edge1": body.edges[0],
        "edge2": body.edges[1],
        "gn0": body.blocks[0].norm_attention,
        "mha0": body.blocks[0].attention,
    }
    hooks = [
        module.register_forward_hook(lambda _m, _i, out, key=key: seen.setdefault(key, out))
        for key, module in stages.items()
    ]
    with torch.no_grad():
        case.model.embed(case.noisy, case.time)
    for hook in hooks:
        hook.remove()
    case.agrees(seen.pop("fourier"), "pert_fourier", 2e-6)
    n = case["n"]
    for key, rows in seen.items():
        offset = 0
        expected = case[f"pert_{key}"]
        for jet, count in enumerate(n.tolist()):
            stop = offset + min(count + 1, expected.shape[1])  # the particles, then one padded row
            ours = rows[offset:stop]
            assert (ours - expected[jet, : len(ours)]).abs().max() <= 2e-6 * expected.abs().max(), (key, jet)
            offset = stop


def test_averaged_weights(request):
    for name in NAMES:
        case = Case(name, ema=True)
        with torch.no_grad():
            case.agrees(case.model.embed(case.noisy, case.time), "pert_body_ema")
            velocity = case.model.velocity_columns(case.noisy, case.time, case["label"])
            case.agrees(velocity, "pert_v_ema")


def losses(case):
    clean = case.model.classify(case.clean)
    noisy = case.model.classify(case.noisy, case.time)
    velocity = case.model.velocity(case.noisy, case.time, case["label"])
    target = (case["alpha"][:, None] * case["eps"] - case["sigma"][:, None] * case["x"])[case.mask][:, :3]
    terms = {"loss_v": (velocity - target).square().sum() / (3 * case.mask.sum())}
    for suffix, output in (("", clean), ("_smear", noisy)):
        terms[f"loss_ce{suffix}"] = functional.cross_entropy(output.logits, case["label"], reduction="none")
        terms[f"loss_mse{suffix}"] = (output.jet - case["jet"]).square().mean(1)
    return terms


def test_losses_and_their_gradients(case):
    terms = losses(case)
    for key, value in terms.items():
        case.agrees(value, key)
    total = (terms["loss_ce"] + terms["loss_mse"]).mean() + terms["loss_v"]
    case.agrees(total, "grad_loss")
    case.network.zero_grad()
    total.backward()
    gradients = _gradients_by_keras_name(case.network)
    l2, total_sum = case.arrays["grad_l2"], case.arrays["grad_sum"]
    keys = [str(key).replace("_head/", "/") for key in case.arrays["grad_keys"]]
    for key, norm, plain in zip(keys, l2, total_sum, strict=True):
        ours = gradients[key]
        if key.endswith("_key_dense/1"):  # zero but for rounding: a softmax ignores what all keys share
            assert max(ours.norm().item(), norm) < 5e-6, key
            continue
        assert abs(ours.norm().item() - norm) <= 1e-4 * norm, key
        assert abs(ours.sum().item() - plain) <= 5e-4 * max(norm, 1e-3), key
    assert set(gradients) == set(keys)


def _gradients_by_keras_name(network):
    """Copy the gradients into the weights of a second network, and read them by their names in the file."""
    holder = PET(network.config)
    with torch.no_grad():
        for target, source in zip(holder.parameters(), network.parameters(), strict=True):
            target.copy_(source.grad)
    return {key: target for key, target, _ in keras_names(holder)}


def test_exact_padding_and_published_padding_differ_only_through_padding():
    case = Case(NAMES[0])
    full = case["n"] == case.mask.shape[1]
    rows = full[case.clean.jet_index]
    with torch.no_grad():
        exact, published = case.network.body(case.clean), case.model.embed(case.clean)
    torch.testing.assert_close(exact[rows], published[rows], rtol=1e-4, atol=1e-4)
    assert (exact[~rows] - published[~rows]).abs().max() > 0.01


def test_lengths_that_cannot_work_are_errors():
    network = PET(PETConfig(width=8, n_layers=1, n_heads=2, class_token="zero"))
    batch = Batch.from_padded(torch.randn(1, 30, 13), torch.ones(1, 30), jet=torch.zeros(1, 4))
    with pytest.raises(ConfigError, match="needs 11"):
        PublishedPET.of(network, padded_length=10)
    with pytest.raises(JetsError, match="30 particles"):
        PublishedPET.of(network, padded_length=29).embed(batch)
