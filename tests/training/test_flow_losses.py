"""The objectives of PET v2 against the published program, and term by term."""

import pytest
import torch
from omnilearn_lab.errors import TrainingError
from omnilearn_lab.features import pet_v2_batch
from omnilearn_lab.models import perturb_flow
from omnilearn_lab.models.diffusion import Perturbed
from omnilearn_lab.training import (
    Classification,
    FlavourTagging,
    FlowGeneration,
    FlowPretraining,
    TrainConfig,
    Trainer,
    Whole,
    flow_losses,
)
from omnilearn_lab.training.batches import select

from tests.conftest import random_jets
from tests.models.published_losses import (
    balance_weights,
    contrastive_loss,
    grouped_class_loss,
    velocity_loss,
)
from tests.models.test_pet_v2 import load_case, make_batch, needs_fixtures
from tests.training.helpers import small_v2

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
        monkeypatch.setattr(flow_losses, "perturb_flow", lambda batch, time: moved)
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
def test_weight_two_is_a_jet_twice(jets, objective, mode, monkeypatch):
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
