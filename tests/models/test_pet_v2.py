"""PET v2 against the published program, and the properties that any such network must have."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from omnilearn_lab.models.packing import Batch
from omnilearn_lab.models.published_v2 import load_published_v2, published_name

FIXTURES = Path(__file__).parents[3] / "shared" / "fixtures"
CASES = ("clf_int", "clf_noint", "gen_cond", "gen_full", "pretrain", "ftag")
TOLERANCE = 2e-6  # of the largest value of an array, float32 on CPU

needs_fixtures = pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"no fixtures in {FIXTURES}")


def load_case(case, weights="live"):
    arrays = np.load(FIXTURES / f"pet_v2_small_{case}.npz")
    n_heads = json.loads(str(arrays["config_json"]))["num_heads"]
    model = load_published_v2(FIXTURES / f"pet_v2_small_{case}.pt", weights=weights, n_heads=n_heads)
    return model, {name: arrays[name] for name in arrays.files}


def make_batch(arrays, features="x"):
    mask = torch.from_numpy(arrays["mask"])
    batch = Batch.from_padded(torch.from_numpy(arrays[features]), mask, jet=torch.zeros(len(mask), 0))
    particle = {"pid": "pid", "extra": "add_info", "particle_label": "data_pid"}
    fields = {ours: torch.from_numpy(arrays[name])[mask] for ours, name in particle.items() if name in arrays}
    if "cond" in arrays:
        fields["condition"] = torch.from_numpy(arrays["cond"])
    return batch.replace(label=torch.from_numpy(arrays["y"]), **fields)


def error(ours, theirs):
    theirs = torch.as_tensor(theirs)
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def padded(arrays, rows):
    out = torch.zeros(*arrays["mask"].shape, rows.shape[-1])
    out[torch.from_numpy(arrays["mask"])] = rows
    return out


def body_padded(arrays, encoded):
    """Leads and particles as the published body returns them: (B, leads + P, d)."""
    return torch.cat([encoded.leads(), padded(arrays, encoded.particles())], 1)


@needs_fixtures
@pytest.mark.parametrize("case", CASES)
def test_outputs_equal_published(case):
    model, arrays = load_case(case)
    time, label = torch.from_numpy(arrays["t"]), torch.from_numpy(arrays["y"])
    errors = {}
    with torch.no_grad():
        if "x_body" in arrays:
            clean = make_batch(arrays)
            for at in [torch.zeros_like(time)] if model.config.uses_time else [None]:
                errors["x_body"] = error(body_padded(arrays, model.body(clean, at)), arrays["x_body"])
        if "z_body" in arrays:
            noisy = make_batch(arrays, "z")
            errors["z_body"] = error(body_padded(arrays, model.body(noisy, time)), arrays["z_body"])
            errors["z_pred"] = error(padded(arrays, model.velocity(noisy, time, label)), arrays["z_pred"])
        if "y_pred" in arrays:
            errors["y_pred"] = error(model.classify(clean).logits, arrays["y_pred"])
        if "y_perturb" in arrays:
            errors["y_perturb"] = error(model.classify(noisy, time).logits, arrays["y_perturb"])
        if case == "ftag":
            errors["tracks"] = error(padded(arrays, model.classify_particles(clean, label)), arrays["z_pred"])
    assert errors
    print(case, errors)
    assert max(errors.values()) < TOLERANCE, errors


def published_gradients(model, arrays, case):
    """L2 norm and sum of each parameter's gradient, of the loss that the fixture describes."""
    time, label = torch.from_numpy(arrays["t"]), torch.from_numpy(arrays["y"])
    losses = []
    if model.config.uses_time:
        target = torch.from_numpy(arrays["v"])[torch.from_numpy(arrays["mask"])]
        velocity = model.velocity(make_batch(arrays, "z"), time, label)
        losses.append((target - velocity).square().sum() / len(target))
    if model.config.has_classifier:
        logits = [model.classify(make_batch(arrays)).logits]
        if case == "pretrain":
            logits.append(model.classify(make_batch(arrays, "z"), time).logits)
        losses += [torch.nn.functional.cross_entropy(x, label) for x in logits]
    loss = sum(losses)
    loss.backward()
    return loss


def gradient_errors(model, arrays, case):
    """Error of norm and sum of each parameter's gradient, relative to the published norm."""
    loss = published_gradients(model, arrays, case)
    assert loss.item() == pytest.approx(float(arrays["grad_loss"]), rel=2e-6)
    parameters = {".".join(published_name(name)): value for name, value in model.named_parameters()}
    errors = {}
    for key, norm, total in zip(arrays["grad_keys"], arrays["grad_l2"], arrays["grad_sum"], strict=True):
        gradient = parameters[str(key)].grad
        gradient = torch.zeros(1) if gradient is None else gradient.double()
        distance = max(abs(gradient.norm().item() - norm), abs(gradient.sum().item() - total))
        errors[str(key)] = distance / max(norm, 1e-3)
    return errors


@needs_fixtures
@pytest.mark.parametrize("case", CASES)
def test_gradients_equal_published(case):
    model, arrays = load_case(case)
    errors = gradient_errors(model, arrays, case)
    # the alphas are single numbers whose gradient is a sum with large cancellations
    alphas = {name: value for name, value in errors.items() if name.endswith("alpha")}
    others = {name: value for name, value in errors.items() if name not in alphas}
    assert max(others.values()) < 1.2e-5, sorted(others.items(), key=lambda item: -item[1])[:5]
    assert max(alphas.values()) < 5e-5, sorted(alphas.items(), key=lambda item: -item[1])[:5]


@needs_fixtures
def test_gradients_in_float64_show_the_rounding_of_the_published_ones():
    model, arrays = load_case("gen_cond")
    wide = {name: x.astype(np.float64) if x.dtype == np.float32 else x for name, x in arrays.items()}
    torch.set_default_dtype(torch.float64)
    try:
        errors = gradient_errors(model.double(), wide, "gen_cond")
    finally:
        torch.set_default_dtype(torch.float32)
    assert max(errors.values()) < 2e-5, sorted(errors.items(), key=lambda item: -item[1])[:5]


@needs_fixtures
@pytest.mark.parametrize("case", ["gen_cond", "gen_full", "pretrain"])
def test_averaged_weights_equal_published(case):
    model, arrays = load_case(case, weights="ema")
    time, label = torch.from_numpy(arrays["t"]), torch.from_numpy(arrays["y"])
    with torch.no_grad():
        noisy = make_batch(arrays, "z")
        assert error(body_padded(arrays, model.body(noisy, time)), arrays["z_body_ema"]) < TOLERANCE
        assert error(padded(arrays, model.velocity(noisy, time, label)), arrays["z_pred_ema"]) < TOLERANCE
