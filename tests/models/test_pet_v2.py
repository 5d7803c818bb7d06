"""PET v2 against the published program, and the properties that any such network must have."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models.batch import Batch
from omnilearn_lab.models.edges import nearest_neighbors
from omnilearn_lab.models.pet_v2 import PETv2, PETv2Config
from omnilearn_lab.models.published.v2 import load_published_v2, published_name

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
    # the alphas are single numbers: what remains of sums with large cancellations (see the next test)
    alphas = {name: value for name, value in errors.items() if name.endswith("alpha")}
    others = {name: value for name, value in errors.items() if name not in alphas}
    assert max(others.values()) < 1.2e-5, sorted(others.items(), key=lambda item: -item[1])[:5]
    assert max(alphas.values()) < 1e-4, sorted(alphas.items(), key=lambda item: -item[1])[:5]


@needs_fixtures
@pytest.mark.parametrize("case", CASES)
def test_gradients_in_float64_differ_by_the_rounding_of_the_published_ones(case):
    model, arrays = load_case(case)
    wide = {name: x.astype(np.float64) if x.dtype == np.float32 else x for name, x in arrays.items()}
    torch.set_default_dtype(torch.float64)
    try:
        errors = gradient_errors(model.double(), wide, case)
    finally:
        torch.set_default_dtype(torch.float32)
    # found: 6e-6 for matrices and vectors, 2.7e-5 for one alpha
    assert max(errors.values()) < 3e-5, sorted(errors.items(), key=lambda item: -item[1])[:5]


@needs_fixtures
@pytest.mark.parametrize("case", ["gen_cond", "gen_full", "pretrain"])
def test_averaged_weights_equal_published(case):
    model, arrays = load_case(case, weights="ema")
    time, label = torch.from_numpy(arrays["t"]), torch.from_numpy(arrays["y"])
    with torch.no_grad():
        noisy = make_batch(arrays, "z")
        assert error(body_padded(arrays, model.body(noisy, time)), arrays["z_body_ema"]) < TOLERANCE
        assert error(padded(arrays, model.velocity(noisy, time, label)), arrays["z_pred_ema"]) < TOLERANCE


@needs_fixtures
@pytest.mark.parametrize("case", ["clf_int", "gen_cond"])
def test_steps_inside_the_body_equal_published(case):
    model, arrays = load_case(case)
    kind = "x" if case == "clf_int" else "z"
    batch, body = make_batch(arrays, kind), model.body
    neighbors = nearest_neighbors(batch.features[:, :2], batch.packing, n_neighbors=10)
    with torch.no_grad():
        embedded = padded(arrays, body.embedding(batch.features))
        local = padded(arrays, body.local(batch.features, neighbors))
    assert error(embedded, arrays[f"{kind}_x_embed"]) < TOLERANCE
    assert error(local, arrays[f"{kind}_local"]) < TOLERANCE
    rows = torch.full(arrays["mask"].shape, -1)
    rows[torch.from_numpy(arrays["mask"])] = torch.arange(len(batch.features))
    published = rows.flatten()[torch.from_numpy(arrays[f"{kind}_knn_flat"])].view(8 * 20, 10)
    for mine, share, theirs in zip(
        neighbors.rows, neighbors.share, published[torch.from_numpy(arrays["mask"]).flatten()], strict=True
    ):
        assert set(mine[share > 0].tolist()) == set(theirs[theirs >= 0].tolist())


@needs_fixtures
def test_pair_bias_equals_published():
    model, arrays = load_case("clf_int")
    batch = make_batch(arrays)
    published = torch.from_numpy(arrays["x_interaction"]).view(8, 4, 20, 20)
    with torch.no_grad():
        blocks = model.body.pair_bias(batch.features, batch.packing)
    place = torch.from_numpy(arrays["mask"]).cumsum(1) - 1
    order = batch.packing.by_group(torch.arange(8))
    for jets, bias in zip(order, blocks, strict=True):
        for jet, mine in zip(jets.tolist(), bias, strict=True):
            keep = torch.from_numpy(arrays["mask"])[jet]
            order = place[jet][keep]
            assert error(mine[:, order][:, :, order], published[jet][:, keep][:, :, keep]) < TOLERANCE


# published configurations: (what differs from the small classifier), parameters of small, medium, large
COUNTS = (
    ({"mode": "pretrain", "n_species": 9, "n_extra": 4, "n_classes": 210}, (3339793, 59911461, 423049589)),
    ({}, (2708917, 51490377, 373687443)),
    ({"use_pair_bias": False}, (2705069, 51466809, 373607539)),
    ({"n_species": 9}, (2710069, 51494985, 373696659)),
    (
        {"mode": "generator", "use_pair_bias": False, "n_condition": 3, "n_classes": 5},
        (1869106, 38095934, 320129146),
    ),
    ({"mode": "generator", "n_condition": 3, "n_classes": 1}, (1806394, 37066830, 316006554)),
    (
        {"mode": "ftag", "n_extra": 17, "n_condition": 4, "n_classes": 4, "n_particle_classes": 8},
        (3161927, 58610779, 418875563),
    ),
)


@pytest.mark.parametrize("size", ["small", "medium", "large"])
@pytest.mark.parametrize(("choices", "counts"), COUNTS)
def test_parameter_counts_equal_published(choices, counts, size):
    with torch.device("meta"):
        model = PETv2(PETv2Config.named(size, **choices))
    assert sum(model.n_parameters.values()) == counts[["small", "medium", "large"].index(size)]


def test_parts_of_the_pretraining_model():
    with torch.device("meta"):
        model = PETv2(PETv2Config.named("small", **COUNTS[0][0]))
    assert model.n_parameters == {"body": 1494064, "classifier": 1422551, "generator": 423178}


# properties

FULL = {"n_species": 9, "n_extra": 3, "n_condition": 2}


def small_model(seed=0, **choices):
    torch.manual_seed(seed)
    sizes = {"width": 16, "n_layers": 2, "n_heads": 4, "n_head_layers": 2, "n_neighbors": 4, "n_classes": 3}
    model = PETv2(PETv2Config(**{**sizes, **choices})).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # away from the trivial start values
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def random_batch(counts, seed=0):
    generator = torch.Generator().manual_seed(seed)
    n_rows, n_jets = sum(counts), len(counts)
    draw = partial(torch.randn, generator=generator)
    features = draw(n_rows, 4) * torch.tensor([0.2, 0.2, 1.0, 1.0])
    offsets = torch.tensor([0, *np.cumsum(counts)])
    return Batch(
        features,
        features[:, :2],
        offsets,
        torch.zeros(n_jets, 0),
        label=torch.arange(n_jets) % 3,
        pid=torch.randint(0, 9, (n_rows,), generator=generator),
        extra=draw(n_rows, 3),
        condition=draw(n_jets, 2),
    )


def take_rows(batch, rows):
    """The batch with its particles in another order, jets kept together."""
    parts = {name: getattr(batch, name)[rows] for name in ("features", "points", "pid", "extra")}
    return batch.replace(**parts)


def take_jets(batch, jets):
    rows = torch.cat([torch.arange(batch.offsets[j], batch.offsets[j + 1]) for j in jets])
    particles = {name: getattr(batch, name)[rows] for name in ("features", "points", "pid", "extra")}
    per_jet = {name: getattr(batch, name)[jets] for name in ("jet", "label", "condition")}
    counts = batch.counts[jets]
    return Batch(offsets=torch.cat([counts.new_zeros(1), counts.cumsum(0)]), **particles, **per_jet), rows


def outputs(model, batch, time):
    with torch.no_grad():
        logits = model.classify(batch).logits
        noisy = model.classify(batch, time).logits
        return logits, noisy, model.velocity(batch, time, batch.label)


multiplicities = st.lists(st.integers(1, 20), min_size=1, max_size=5)


@settings(deadline=None, max_examples=15)
@given(multiplicities, st.integers(0, 1000))
def test_particles_have_no_order(counts, seed):
    model = small_model(mode="pretrain", **FULL)
    batch, time = (
        random_batch(counts, seed),
        torch.rand(len(counts), generator=torch.Generator().manual_seed(seed)),
    )
    noise = torch.rand(sum(counts), generator=torch.Generator().manual_seed(seed))
    order = torch.argsort(batch.jet_index + noise / 2)
    before, after = outputs(model, batch, time), outputs(model, take_rows(batch, order), time)
    for one, other in zip(before[:2], after[:2], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(before[2][order], after[2], rtol=1e-4, atol=1e-5)


@settings(deadline=None, max_examples=15)
@given(multiplicities, st.integers(0, 1000))
def test_a_jet_does_not_see_the_other_jets(counts, seed):
    model = small_model(mode="pretrain", **FULL)
    batch, time = (
        random_batch(counts, seed),
        torch.rand(len(counts), generator=torch.Generator().manual_seed(seed)),
    )
    together = outputs(model, batch, time)
    jets = torch.randperm(len(counts), generator=torch.Generator().manual_seed(seed))[
        : 1 + seed % len(counts)
    ]
    some, rows = take_jets(batch, jets)
    alone = outputs(model, some, time[jets])
    for one, other in zip(together[:2], alone[:2], strict=True):
        torch.testing.assert_close(one[jets], other, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together[2][rows], alone[2], rtol=1e-4, atol=1e-5)


def test_padding_changes_nothing():
    model = small_model()
    features, mask = torch.randn(2, 7, 4), torch.tensor([[True] * 5 + [False] * 2, [True] * 7])
    short = Batch.from_padded(features[:, :7], mask, jet=torch.zeros(2, 0))
    wide = torch.nn.functional.pad(features, (0, 0, 0, 30), value=7.0)
    long = Batch.from_padded(wide, torch.nn.functional.pad(mask, (0, 30)), jet=torch.zeros(2, 0))
    assert torch.equal(model.classify(short).logits, model.classify(long).logits)


def test_one_particle_has_no_neighbourhood():
    model, batch = small_model(), random_batch([1, 5])
    neighbors = nearest_neighbors(batch.features[:, :2], batch.packing, n_neighbors=4)
    local = model.body.local(batch.features, neighbors)
    assert local[0].abs().max() == 0
    assert local[1:].abs().max() > 0
    assert torch.isfinite(model.classify(batch).logits).all()


def test_at_time_zero_the_time_token_is_absent():
    model, batch = small_model(mode="pretrain", **FULL), random_batch([3, 12])
    with torch.no_grad():
        without = model.body(batch)
        at_zero = model.body(batch, torch.zeros(2))
        mixed = model.body(batch, torch.tensor([0.0, 0.5]))
        torch.testing.assert_close(at_zero.particles(), without.particles(), rtol=1e-5, atol=1e-6)
        assert at_zero.leads()[:, 4].abs().max() == 0
        assert mixed.leads()[1, 4].abs().max() > 0
        torch.testing.assert_close(mixed.particles()[:3], without.particles()[:3], rtol=1e-5, atol=1e-6)
        assert (mixed.particles()[3:] - without.particles()[3:]).abs().max() > 1e-3


@pytest.mark.parametrize(
    "mode", ["classifier", "regression", "generator", "pretrain", "ftag", "segmentation"]
)
def test_gradient_reaches_each_parameter(mode):
    tags = mode in ("ftag", "segmentation")
    model = small_model(mode=mode, n_particle_classes=5 * tags, **FULL).train()
    batch, time = random_batch([12, 3, 9]), torch.tensor([0.2, 0.5, 0.9])
    loss = torch.zeros(())
    if mode == "pretrain":
        both = model.joint(batch, batch, time, batch.label)
        loss = (
            both.clean.logits.square().sum()
            + both.perturbed.logits.square().sum()
            + both.velocity.square().sum()
        )
    elif mode == "generator":
        loss = model.velocity(batch, time, batch.label).square().sum()
    elif mode == "ftag":
        jets, particles = model.classify_all(batch, batch.label)
        loss = jets.logits.square().sum() + particles.square().sum()
    elif mode == "segmentation":
        loss = model.classify_particles(batch).square().sum()
    else:
        loss = model.classify(batch).logits.square().sum()
    loss.backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or p.grad.abs().max() == 0]
    assert not silent


def test_jets_send_no_gradient_to_each_other():
    model, batch = small_model(), random_batch([6, 4])
    features = batch.features.clone().requires_grad_()
    model.classify(batch.replace(features=features)).logits[0].sum().backward()
    assert torch.isfinite(features.grad).all()
    assert features.grad[:6].abs().max() > 0
    assert features.grad[6:].abs().max() == 0


def test_features_are_dropped_for_whole_jets_in_training_only():
    model = small_model(feature_drop=0.5, n_species=9)
    batch = random_batch([5] * 40)
    rows = torch.ones(200, 2)
    assert torch.equal(model.body.drop(rows, batch.packing), rows)
    model.train()
    torch.manual_seed(0)
    kept = model.body.drop(rows, batch.packing).view(40, 10)
    assert set(kept.sum(1).tolist()) == {0.0, 10.0}


def test_missing_inputs_and_wrong_modes_are_named():
    batch = random_batch([5, 2]).replace(pid=None)
    with pytest.raises(ConfigError, match="'pid'"):
        small_model(n_species=9).classify(batch)
    with pytest.raises(ConfigError, match="no generator head"):
        small_model().velocity(batch, torch.rand(2))
    with pytest.raises(ConfigError, match="no classifier head"):
        small_model(mode="generator").classify(batch)
    with pytest.raises(ConfigError, match="label of each jet"):
        small_model(mode="generator").velocity(batch, torch.rand(2))
    with pytest.raises(ConfigError, match="did you mean 'classifier'"):
        PETv2Config(mode="clasifier")
    with pytest.raises(ConfigError, match="small"):
        PETv2Config.named("smal")
    with pytest.raises(ConfigError, match="n_particle_classes"):
        PETv2Config(mode="ftag")
    with pytest.raises(ConfigError, match="multiple"):
        PETv2Config(width=10, n_heads=4)


def test_half_precision_stays_close():
    model = small_model(width=64, mode="pretrain", **FULL)
    batch, time = random_batch([30, 12, 1]), torch.tensor([0.2, 0.5, 0.9])
    exact = outputs(model, batch, time)
    with torch.autocast("cpu", torch.bfloat16):
        rough = outputs(model, batch, time)
    for one, other in zip(exact, rough, strict=True):
        assert other.dtype == torch.float32
        assert (one - other).abs().max() < 0.05 * one.abs().max()


def test_recomputing_edges_changes_no_gradient():
    gradients = []
    for recompute in (False, True):
        model, batch = small_model(), random_batch([9, 4])
        model.body.local.recompute = recompute
        model.classify(batch).logits.square().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for kept, recomputed in zip(*gradients, strict=True):
        assert torch.equal(kept, recomputed)
