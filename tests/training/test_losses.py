"""Losses, and their parts."""

import numpy as np
import pytest
import torch
from omnilearn_lab.errors import ConfigError, TrainingError
from omnilearn_lab.features import pet_v2_batch
from omnilearn_lab.models import perturb, perturb_flow
from omnilearn_lab.models.batch import hide_particles
from omnilearn_lab.models.diffusion import Perturbed
from omnilearn_lab.training import (
    Classification,
    FlavourTagging,
    FlowPretraining,
    Generation,
    JointPretraining,
    Regression,
    TrainConfig,
    Trainer,
    Whole,
    losses,
)
from omnilearn_lab.training.batches import select
from omnilearn_lab.training.losses import (
    Extent,
    FlowGeneration,
    PartDraws,
    is_correct,
    jet_weights,
    part_terms,
)
from torch.nn import functional

from tests.conftest import random_jets
from tests.models.published_losses import (
    balance_weights,
    contrastive_loss,
    grouped_class_loss,
    velocity_loss,
)
from tests.models.test_pet_v2 import load_case, make_batch, needs_fixtures
from tests.training.helpers import packed, small_model, small_v2

OBJECTIVES = (
    Classification(),
    Classification(balance=True),
    Classification(n_jet_classes=2, balance=True),
    Classification(jet_regression=0.5),
    Regression(beta=0.7),
)


def weighted(n_jets=24, n_classes=4):
    batch = packed(n_jets, n_classes=n_classes)
    return batch.replace(weight=torch.rand(n_jets, generator=torch.Generator().manual_seed(1)) + 0.1)


def model_of(n_classes=4, **changes):
    return small_model(n_classes=n_classes, feature_drop=0.0, **changes).eval()


def grad_of(model, parts, objective, whole):
    model.zero_grad()
    total = {}
    for part in parts:
        terms = part_terms(objective, model, part, whole)
        terms["loss"].backward()
        total = {k: total.get(k, 0.0) + v.item() for k, v in terms.items()}
    return total, torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
def test_parts_give_the_terms_and_gradients_of_the_whole(objective):
    jets, model = weighted(), model_of()
    whole = Whole.of(jets)
    terms, gradient = grad_of(model, [jets], objective, whole)
    parts = [select(jets, rows) for rows in torch.arange(24).split([3, 13, 8])]
    split_terms, split_gradient = grad_of(model, parts, objective, whole)
    for name, value in terms.items():
        assert split_terms[name] == pytest.approx(value, rel=1e-5)
    np.testing.assert_allclose(split_gradient, gradient, atol=2e-6 * float(gradient.abs().max()))


def test_plain_objectives_are_shared_out_by_weight():
    jets, model = weighted(), model_of()

    def plain(model, batch):
        losses = functional.cross_entropy(model.classify(batch).logits, batch.label, reduction="none")
        return {"loss": (losses * batch.weight).sum() / batch.weight.sum()}

    parts = [select(jets, rows) for rows in torch.arange(24).split([3, 13, 8])]
    total = sum(part_terms(plain, model, part, Whole.of(jets))["loss"].item() for part in parts)
    assert total == pytest.approx(plain(model, jets)["loss"].item(), rel=1e-5)


@pytest.mark.parametrize("n_jet_classes", [None, 2])
def test_balanced_classification_is_the_published_loss(n_jet_classes):
    jets, model = packed(24, n_classes=4), model_of()
    objective = Classification(balance=True, n_jet_classes=n_jet_classes)
    logits = model.classify(jets).logits
    expected = grouped_class_loss(
        logits, jets.label, balance_weights(jets.label, 4), n_jet_classes=n_jet_classes
    )
    assert objective(model, jets)["loss"].item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("objective", OBJECTIVES[:4], ids=repr)
def test_weight_two_is_a_jet_twice(objective):
    jets, model = packed(10, n_classes=4), model_of()
    heavy = jets.replace(weight=torch.tensor([2.0] + [1.0] * 9))
    twice = select(jets, torch.tensor([0, *range(10)]))
    one, two = objective(model, heavy), objective(model, twice)
    for name in one:
        assert one[name].item() == pytest.approx(two[name].item(), rel=1e-5)


def test_one_output_learns_the_ratio_of_weighted_densities():
    jets = packed(64)
    logit = torch.zeros(64, 1)
    jets = jets.replace(weight=torch.where(jets.label == 1, 3.0, 1.0))

    class Constant(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = torch.nn.Parameter(torch.zeros(1))

        def classify(self, batch):
            from omnilearn_lab.models import ClassifierOutput

            return ClassifierOutput(logit + self.bias, logit[:, :0])

    model = Constant()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=50)

    def closure():
        optimizer.zero_grad()
        loss = Classification()(model, jets)["loss"]
        loss.backward()
        return loss

    optimizer.step(closure)
    n_one = int((jets.label == 1).sum())
    assert model.bias.exp().item() == pytest.approx(3 * n_one / (64 - n_one), rel=1e-3)


def test_generation_is_the_mean_over_particles():
    jets, model = packed(9), model_of(2)
    torch.manual_seed(3)
    loss = Generation()(model, jets)["loss"]
    torch.manual_seed(3)
    time = torch.rand(9)
    noised = perturb(jets, time, n_diffused=3)
    expected = functional.mse_loss(model.velocity(noised.batch, time, jets.label), noised.target)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("alpha", ["jet", "batch"])
def test_joint_terms_by_hand(alpha):
    jets, model = packed(9), model_of(2)
    torch.manual_seed(3)
    terms = JointPretraining(alpha=alpha)(model, jets)
    torch.manual_seed(3)
    time = torch.rand(9)
    noised = perturb(jets, time, n_diffused=3)
    output = model.joint(jets, noised.batch, time, jets.label)
    share = noised.alpha**2 if alpha == "jet" else (noised.alpha**2).mean()
    entropy = functional.cross_entropy(output.perturbed.logits, jets.label, reduction="none")
    error = (output.perturbed.jet - jets.jet).square().mean(1)
    expected = {
        "classification": functional.cross_entropy(output.clean.logits, jets.label),
        "regression": functional.mse_loss(output.clean.jet, jets.jet),
        "generation": functional.mse_loss(output.velocity, noised.target),
        "classification_noised": (share * entropy).mean(),
        "regression_noised": (share * error).mean(),
    }
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value.item(), rel=1e-5), name
    assert terms["loss"].item() == pytest.approx(sum(v.item() for v in expected.values()), rel=1e-5)


def test_regression_by_hand_and_smooth_for_large_errors():
    jets, model = packed(8, n_classes=4), model_of()
    error = model.classify(jets).logits - jets.jet
    assert Regression()(model, jets)["loss"].item() == pytest.approx(error.square().mean().item(), rel=1e-5)
    smooth = 2 * 0.3 * functional.smooth_l1_loss(error, torch.zeros_like(error), beta=0.3)
    assert Regression(beta=0.3)(model, jets)["loss"].item() == pytest.approx(smooth.item(), rel=1e-5)


def test_regression_needs_as_many_outputs_as_targets():
    with pytest.raises(TrainingError, match="gives 2 numbers per jet and batch.jet holds 4"):
        Regression()(model_of(2), packed(4))


def test_regression_learns():
    jets = packed(64)
    target = torch.stack([jets.label.float(), jets.counts / 10], dim=1)
    jets = jets.replace(jet=target)
    model = small_model(n_jet_features=2, n_classes=2)
    config = TrainConfig(epochs=8, batch_size=16, learning_rate=2e-3)
    curve = Trainer(model, Regression(), jets, jets, config).fit().val_loss
    assert curve[-1] < 0.5 * curve[0]


def test_labels_are_needed():
    with pytest.raises(TrainingError, match="needs class labels"):
        Classification()(model_of(), packed(4).replace(label=None))


def test_smoothing_and_kinds_of_classes_do_not_mix():
    with pytest.raises(ConfigError, match="label_smoothing"):
        Classification(label_smoothing=0.1, n_jet_classes=2)


def test_one_logit_guesses_by_its_sign():
    assert is_correct(torch.tensor([[0.3], [-0.3]]), torch.tensor([1, 1])).tolist() == [1.0, 0.0]


PUBLISHED = Classification(balance=True, n_jet_classes=200)


@pytest.fixture(scope="module")
def jets():
    batch = pet_v2_batch(random_jets(24, seed=4, mean=8, n_classes=4), use_pid=False)
    origin = torch.arange(len(batch.features)) % 4 - 1
    return batch.replace(particle_label=origin)


@pytest.fixture
def published_noise(monkeypatch):
    """Replace the draws of an objective by those of a fixture."""

    def use(arrays):
        mask, time = torch.from_numpy(arrays["mask"]), torch.from_numpy(arrays["t"])
        moved = Perturbed(make_batch(arrays, "z"), torch.from_numpy(arrays["v"])[mask], 1 - time, time)
        monkeypatch.setattr(losses, "perturb_flow", lambda batch, time: moved)
        monkeypatch.setattr(torch, "rand", lambda *size, device=None: time)

    return use


@needs_fixtures
@pytest.mark.parametrize("case", ["gen_cond", "gen_full"])
def test_generation_equals_published(case, published_noise):
    model, arrays = load_case(case)
    published_noise(arrays)
    with torch.no_grad():
        loss = FlowGeneration()(model, make_batch(arrays))["loss"]
    assert loss.item() == pytest.approx(arrays["loss_plain_total"].item(), rel=2e-6)


@needs_fixtures
@pytest.mark.parametrize(
    ("classes", "kind"), [(Classification(balance=True), "plain"), (PUBLISHED, "event_clip")]
)
def test_pretraining_equals_published(classes, kind, published_noise):
    model, arrays = load_case("pretrain")
    published_noise(arrays)
    with torch.no_grad():
        terms = FlowPretraining(classes)(model, make_batch(arrays))
    ours = terms["classification"] + terms["classification_noised"]
    theirs = arrays[f"loss_{kind}_loss_class"] + (kind != "plain") * arrays[f"loss_{kind}_loss_class_event"]
    assert ours.item() == pytest.approx(theirs.item(), rel=2e-6)
    assert terms["generation"].item() == pytest.approx(arrays[f"loss_{kind}_loss_gen"].item(), rel=2e-6)
    assert terms["loss"].item() == pytest.approx((ours + terms["generation"]).item(), rel=1e-6)


@needs_fixtures
def test_flavour_tagging_equals_published():
    model, arrays = load_case("ftag")
    with torch.no_grad():
        terms = FlavourTagging()(model, make_batch(arrays))
    assert terms["loss"].item() == pytest.approx(arrays["loss_plain_total"].item(), rel=2e-6)
    assert terms["classification"].item() == pytest.approx(arrays["loss_plain_loss_class"].item(), rel=2e-6)
    assert terms["classification_tracks"].item() == pytest.approx(
        arrays["loss_plain_loss_gen"].item(), rel=2e-6
    )


@pytest.mark.parametrize("n_jet_classes", [None, 2])
def test_each_pretraining_term(jets, n_jet_classes):
    model = small_v2("pretrain").eval()
    objective = FlowPretraining(Classification(balance=True, n_jet_classes=n_jet_classes), contrastive=0.3)
    with torch.no_grad():
        torch.manual_seed(5)
        terms = objective(model, jets)
        torch.manual_seed(5)
        time = torch.rand(len(jets))
        moved = perturb_flow(jets, time)
        output = model.joint(jets, moved.batch, time, jets.label)
        tokens = [model.body(*inputs).leads()[:, :4].flatten(1) for inputs in ((jets,), (moved.batch, time))]
    balance = balance_weights(jets.label, 4)
    kinds = {"n_jet_classes": n_jet_classes}
    share = (1 - time).square()
    expected = {
        "classification": grouped_class_loss(output.clean.logits, jets.label, balance, **kinds),
        "generation": velocity_loss(output.velocity, moved.target, jets.packing),
        "classification_noised": grouped_class_loss(
            output.perturbed.logits, jets.label, share * balance, **kinds
        ),
        "contrastive": contrastive_loss(*tokens, 1 - time),
    }
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value.item(), rel=1e-5), name
    total = sum(v.item() * (0.3 if k == "contrastive" else 1) for k, v in expected.items())
    assert terms["loss"].item() == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize(
    ("objective", "mode"),
    [(FlowGeneration(), "generator"), (FlowPretraining(PUBLISHED), "pretrain"), (FlavourTagging(), "ftag")],
    ids=repr,
)
def test_weight_two_is_a_jet_twice_for_flows(jets, objective, mode, monkeypatch):
    model = small_v2(mode).eval()
    heavy = jets.replace(weight=torch.tensor([2.0] + [1.0] * 23))
    twice = select(jets, torch.tensor([0, *range(24)]))
    # the same time and noise for a jet wherever it stands
    monkeypatch.setattr(torch, "rand", lambda n, device=None: torch.full((n,), 0.4))
    monkeypatch.setattr(torch, "randn_like", lambda x: x.flip(1) + 0.1)
    with torch.no_grad():
        one, two = objective(model, heavy), objective(model, twice)
    for name in one:
        assert one[name].item() == pytest.approx(two[name].item(), rel=1e-5), name


@pytest.mark.parametrize(
    ("objective", "mode"), [(FlowPretraining(PUBLISHED), "pretrain"), (FlavourTagging(), "ftag")], ids=repr
)
def test_parts_add_up(jets, objective, mode, monkeypatch):
    model = small_v2(mode).eval()
    jets = jets.replace(weight=torch.linspace(0.5, 2, 24))
    monkeypatch.setattr(torch, "rand", lambda n, device=None: torch.full((n,), 0.4))
    monkeypatch.setattr(torch, "randn_like", lambda x: x.flip(1) + 0.1)
    whole, total = Whole.of(jets), {}
    with torch.no_grad():
        for rows in torch.arange(24).split([5, 19]):
            for name, value in objective(model, select(jets, rows), whole).items():
                total[name] = total.get(name, 0.0) + value.item()
        expected = objective(model, jets)
    for name, value in expected.items():
        assert total[name] == pytest.approx(value.item(), rel=1e-5), name


@pytest.mark.parametrize(
    ("objective", "mode"),
    [
        (FlowGeneration(), "generator"),
        (FlowPretraining(contrastive=0.1), "pretrain"),
        (FlavourTagging(), "ftag"),
        (Classification(balance=True), "classifier"),
    ],
    ids=repr,
)
def test_short_training_lowers_the_loss(jets, objective, mode):
    config = TrainConfig(epochs=8, batch_size=8, learning_rate=3e-3, validations_per_epoch=1, ema_decay=0.9)
    shifted = jets.features + 0.5 * jets.label[jets.jet_index].float()[:, None]
    learnable = jets.replace(features=shifted, particle_label=jets.label[jets.jet_index])
    curve = Trainer(small_v2(mode), objective, learnable, learnable, config).fit().val_loss
    assert curve[-1] < 0.9 * curve[0]


def test_gradients_reach_every_parameter(jets):
    model = small_v2("pretrain").eval()
    FlowPretraining(contrastive=0.1)(model, jets)["loss"].backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


def test_tracks_without_origin_are_an_error(jets):
    with pytest.raises(TrainingError, match="particle_label"):
        FlavourTagging()(small_v2("ftag"), jets.replace(particle_label=None))


SIZES = [(3, 20), (4, 31), (2, 9)]


@pytest.mark.parametrize("draw", [torch.rand, torch.randn])
@pytest.mark.parametrize("like", [False, True])
@pytest.mark.parametrize("column", [0, 1])
def test_parts_put_together_are_the_whole(draw, like, column):
    def shaped(n):
        if not like:
            return draw(n, 2)
        return getattr(torch, f"{draw.__name__}_like")(torch.zeros(n, 2))

    total = sum(size[column] for size in SIZES)
    torch.manual_seed(3)
    whole = shaped(total)
    parts = []
    for number, size in enumerate(SIZES):
        torch.manual_seed(3)
        with PartDraws(Extent.of(SIZES, number)):
            parts.append(shaped(size[column]))
    assert torch.equal(torch.cat(parts), whole)


def test_the_stream_goes_on_as_for_the_whole():
    torch.manual_seed(3)
    torch.rand(9), torch.randn(60, 3)
    after = torch.rand(1)
    torch.manual_seed(3)
    with PartDraws(Extent.of(SIZES, 1)):
        torch.rand(4), torch.randn(torch.Size([31, 3]))
    assert torch.equal(torch.rand(1), after)


def test_other_draws_and_functions_are_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(5), torch.rand(()), torch.zeros(4)
    torch.manual_seed(3)
    with PartDraws(Extent.of(SIZES, 1)):
        found = torch.rand(5), torch.rand(()), torch.zeros(4)
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


@pytest.fixture
def parted():
    batch = packed(12, n_classes=3)
    origin = torch.arange(len(batch.features)) % 3 - 1
    return batch.replace(weight=torch.linspace(0.5, 2, 12), particle_label=origin)


def test_sums_by_hand(parted):
    whole = Whole.of(parted)
    assert whole.weight == pytest.approx(15.0)
    by_jet = [float(parted.weight[i]) * int(parted.counts[i]) for i in range(12)]
    assert whole.particle_weight == pytest.approx(sum(by_jet))
    expected = [float(parted.weight[parted.label == c].sum()) for c in range(3)]
    np.testing.assert_allclose(whole.class_weight, expected, rtol=1e-6)


def test_parts_add_up_to_the_whole(parted):
    rows = torch.arange(12).split(5)
    total = sum((Whole.of(select(parted, r)) for r in rows[1:]), Whole.of(select(parted, rows[0])))
    for name, value in vars(Whole.of(parted)).items():
        np.testing.assert_allclose(getattr(total, name), value, rtol=1e-12)


def test_processes_tell_each_other_all_sums(parted):
    whole = Whole.of(parted)
    back = Whole.from_vector(whole.to_vector())
    for name, value in vars(whole).items():
        np.testing.assert_array_equal(getattr(back, name), value)


@pytest.mark.parametrize("mean", ["mean", "mean_of_particles", "mean_of_labelled"])
def test_means_of_parts_add_up_and_a_constant_is_its_own_mean(parted, mean):
    whole = Whole.of(parted)
    size = 12 if mean == "mean" else len(parted.features)
    assert getattr(whole, mean)(torch.full((size,), 3.0), parted).item() == pytest.approx(3.0)
    parts = 0.0
    for rows in torch.arange(12).split(5):
        part = select(parted, rows)
        values = jet_weights(part) if mean == "mean" else part.features[:, 0]
        parts += getattr(whole, mean)(values, part).item()
    values = jet_weights(parted) if mean == "mean" else parted.features[:, 0]
    assert parts == pytest.approx(getattr(whole, mean)(values, parted).item(), rel=1e-5)


def test_balance_without_weights_is_the_published_one():
    label = torch.tensor([0, 0, 0, 2, 2, 3])
    batch = packed(6).replace(label=label)
    np.testing.assert_allclose(Whole.of(batch).balance[label], balance_weights(label, 5), rtol=1e-5)


def test_balance_gives_classes_equal_weight(parted):
    weights = parted.weight * Whole.of(parted).balance[parted.label]
    sums = [float(weights[parted.label == c].sum()) for c in range(3)]
    np.testing.assert_allclose(sums, [5.0, 5.0, 5.0], rtol=1e-5)


def test_no_labelled_particle_gives_zero(parted):
    parted = parted.replace(particle_label=torch.full((len(parted.features),), -1))
    assert Whole.of(parted).mean_of_labelled(torch.ones(len(parted.features)), parted).item() == 0


def masked_v2(mode="pretrain", **changes):
    """A small PET v2 with a codebook of sixteen random points."""
    model = small_v2(mode, n_codes=16, **changes).eval()
    model.masked.codebook.centers.normal_()
    return model


MASKED = FlowPretraining(classification=0, generation=0, masked=1.0, masked_share=0.4)


def test_hidden_and_visible_particles_are_those_of_the_jet(jets):
    hidden = hide_particles(jets, 0.4)
    assert hidden.visible.counts.tolist() == [
        n - min(max(round(0.4 * n), 1), n - 1) for n in jets.counts.tolist()
    ]
    width = hidden.places.shape[1]
    for i, slot in enumerate(hidden.slots.tolist()):
        row = jets.offsets[slot // width] + hidden.places.view(-1)[slot]
        assert torch.equal(hidden.features[i], jets.features[row])
    for j in range(len(jets)):
        own = jets.features[jets.offsets[j] : jets.offsets[j + 1]].tolist()
        left = hidden.visible.features[hidden.visible.offsets[j] : hidden.visible.offsets[j + 1]].tolist()
        gone = hidden.features[hidden.slots // width == j].tolist()
        assert sorted(left + gone) == sorted(own)
        assert [own.index(row) for row in left] == sorted(own.index(row) for row in left)


def test_masking_never_sees_what_it_hides(jets):
    """Other numbers for the hidden particles: the same answer to the last bit."""
    model = masked_v2()
    torch.manual_seed(3)
    hidden = hide_particles(jets, 0.4)
    width = hidden.places.shape[1]
    rows = jets.offsets[hidden.slots // width] + hidden.places.view(-1)[hidden.slots]
    changed = jets.features.clone()
    changed[rows] = 7.0
    torch.manual_seed(3)
    again = hide_particles(jets.replace(features=changed, points=changed[:, :2]), 0.4)
    assert torch.equal(again.features, torch.full_like(again.features, 7.0))
    with torch.no_grad():
        guesses = [model.guess_hidden(each.visible, each.places) for each in (hidden, again)]
    assert torch.equal(guesses[0].flatten(0, 1)[hidden.slots], guesses[1].flatten(0, 1)[again.slots])


def test_masked_loss_by_hand(jets):
    model = masked_v2("masked")
    with torch.no_grad():
        torch.manual_seed(5)
        terms = MASKED(model, jets)
        torch.manual_seed(5)
        torch.rand(len(jets)), torch.randn_like(jets.features)  # time and noise of the flow
        hidden = hide_particles(jets, 0.4)
        shares = model.guess_hidden(hidden.visible, hidden.places).softmax(-1)
    width, losses_of = hidden.places.shape[1], [[] for _ in range(len(jets))]
    for slot, row in zip(hidden.slots.tolist(), hidden.features, strict=True):
        point = torch.stack([3 * row[0], 3 * row[1], row[2]])
        code = (model.masked.codebook.centers - point).square().sum(1).argmin()
        losses_of[slot // width].append(-shares[slot // width, slot % width, code].log().item())
    by_hand = sum(sum(each) / len(each) for each in losses_of) / len(jets)
    assert terms["masked"].item() == pytest.approx(by_hand, rel=1e-5)
    assert list(terms) == ["masked", "loss"] and terms["loss"] == terms["masked"]


def test_a_guess_does_not_depend_on_other_jets_or_the_padded_length(jets):
    model, hidden = masked_v2(), hide_particles(jets, 0.4)
    with torch.no_grad():
        whole = model.guess_hidden(hidden.visible, hidden.places)
        for part in torch.arange(24).split([7, 17]):
            longer = functional.pad(hidden.places[part], (0, 3))
            alone = model.guess_hidden(select(hidden.visible, part), longer)
            torch.testing.assert_close(alone[:, : whole.shape[1]], whole[part], rtol=1e-4, atol=1e-5)


def test_factors_weigh_the_terms_and_zero_leaves_them_out(jets):
    model = masked_v2()
    factors = {"classification": 0.5, "generation": 2.0, "masked": 3.0}
    with torch.no_grad():
        torch.manual_seed(5)
        plain = FlowPretraining()(model, jets)
        torch.manual_seed(5)
        terms = FlowPretraining(**factors)(model, jets)
    assert all(torch.equal(terms[name], plain[name]) for name in plain if name != "loss")
    rest = plain["classification_noised"]  # 0.5 times 2
    expected = 0.5 * plain["classification"] + 2 * plain["generation"] + rest + 3 * terms["masked"]
    assert terms["loss"].item() == pytest.approx(expected.item(), rel=1e-6)
    assert set(FlowPretraining(classification=0)(small_v2("generator"), jets)) == {"generation", "loss"}
    no_generator = FlowPretraining(generation=0)(small_v2("classifier"), jets)
    assert set(no_generator) == {"classification", "loss", "accuracy"}


def test_masked_terms_of_parts_add_up(jets):
    """Every part draws its share of what the whole draws."""
    model, whole, total = masked_v2(), Whole.of(jets), 0.0
    sizes = [
        (len(part), len(part.features)) for part in (select(jets, r) for r in torch.arange(24).split([5, 19]))
    ]
    with torch.no_grad():
        for number, rows in enumerate(torch.arange(24).split([5, 19])):
            torch.manual_seed(8)
            with PartDraws(Extent.of(sizes, number)):
                total += MASKED(model, select(jets, rows), whole)["masked"].item()
        torch.manual_seed(8)
        expected = MASKED(model, jets)["masked"].item()
    assert total == pytest.approx(expected, rel=1e-5)


def test_masked_gradients_reach_every_parameter(jets):
    model = masked_v2("masked")
    MASKED(model, jets)["loss"].backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


def test_the_factors_of_pet_are_those_of_the_sum():
    model, batch = model_of(), packed(8, n_classes=4)
    with torch.no_grad():
        torch.manual_seed(1)
        terms = JointPretraining(classification=0.5, generation=2.0)(model, batch)
    on_clean = terms["classification"] + terms["regression"]
    on_noised = terms["classification_noised"] + terms["regression_noised"]
    expected = 0.5 * on_clean + on_noised + 2 * terms["generation"]
    assert terms["loss"].item() == pytest.approx(expected.item(), rel=1e-6)
