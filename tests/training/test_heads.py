import math

import numpy as np
import pytest
import torch
from omnilearn_lab.errors import TrainingError
from omnilearn_lab.models.baselines import PFN, PFNConfig
from omnilearn_lab.training import (
    Classification,
    Generation,
    Regression,
    Run,
    TrainConfig,
    Trainer,
    embed_jets,
    heads,
    select,
)
from omnilearn_lab.training.heads import output_layer, start_at_prior

from tests.training.helpers import packed, small_model, small_v2


def unequal(n_jets=64):
    """Three classes with shares 1/2, 1/4, 1/4."""
    return packed(n_jets, n_classes=3).replace(label=torch.tensor([0, 0, 1, 2]).repeat(n_jets // 4))


MODELS = {
    "PET": lambda: small_model(n_classes=3),
    "PETv2": lambda: small_v2("classifier", n_classes=3, n_features=13),
    "PFN": lambda: PFN(PFNConfig.named("tiny", n_classes=3)),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_first_prediction_is_the_prior(name):
    model, jets = MODELS[name](), unequal()
    start_at_prior(model, Classification(), jets)
    probabilities = model.eval().classify(jets).logits.softmax(1)
    np.testing.assert_allclose(probabilities.detach(), np.tile([0.5, 0.25, 0.25], (64, 1)), rtol=1e-6)


def test_balanced_classes_start_at_the_logarithm_of_their_number():
    config = TrainConfig(epochs=1, batch_size=16, start_at_prior=True, ema_decay=0.9)
    one = Trainer(small_model(n_classes=3), Classification(balance=True), unequal(), unequal(32), config)
    assert one.fit().val_loss[0] == pytest.approx(math.log(3), rel=1e-6)


@pytest.mark.parametrize(
    ("objective", "n_outputs", "expected"),
    [
        (Classification(), 1, [math.log(3)]),
        (Classification(), 2, [math.log(0.25), math.log(0.75)]),
        (Classification(balance=True), 1, [0.0]),
        (Classification(), 3, [math.log(0.25), math.log(0.75), math.log(1e-6)]),
    ],
)
def test_priors_by_hand(objective, n_outputs, expected):
    jets = packed(4).replace(label=torch.tensor([0, 1, 1, 0]), weight=torch.tensor([1.0, 2, 1, 0]))
    assert objective.prior(jets, n_outputs).tolist() == pytest.approx(expected, abs=1e-6)


def test_a_regression_starts_at_the_mean_target():
    model, jets = small_model(n_classes=4), packed(8)
    jets = jets.replace(weight=torch.linspace(1, 2, 8))
    start_at_prior(model, Regression(), jets)
    mean = (jets.weight[:, None] * jets.jet).sum(0) / jets.weight.sum()
    torch.testing.assert_close(model.classify(jets).logits, mean.expand(8, 4))


def test_what_has_no_prior_is_told():
    with pytest.raises(TrainingError, match="a Generation has no prior"):
        start_at_prior(small_model(), Generation(), packed(8))


def test_a_run_that_goes_on_does_not_start_anew(tmp_path):
    config = TrainConfig(epochs=1, batch_size=16, learning_rate=1e-2, start_at_prior=True)

    def train():
        run = Run(tmp_path, vars(config))
        return Trainer(small_model(), Classification(), packed(), packed(32, seed=9), config, run)

    first = train().fit()
    assert train().fit().val_loss.tolist() == first.val_loss.tolist()
    assert first.val_loss[-1] != first.val_loss[0]


@pytest.mark.parametrize("name", MODELS)
def test_embeddings_are_what_the_last_layer_gets(name):
    model, jets = MODELS[name](), packed(40, n_classes=3)
    rows = embed_jets(model, jets)
    layer = model.get_submodule(output_layer(model, jets))
    logits = layer(torch.from_numpy(rows))
    torch.testing.assert_close(logits, model.eval().classify(jets).logits, rtol=1e-5, atol=1e-6)
    assert isinstance(layer, torch.nn.Linear) and len(rows) == 40


def test_embeddings_do_not_depend_on_the_batches(monkeypatch):
    model, jets = small_model().train(), packed(40)
    whole = embed_jets(model, jets)
    monkeypatch.setattr(heads, "_JETS_AT_ONCE", 7)
    np.testing.assert_allclose(embed_jets(model, jets), whole, rtol=1e-5, atol=1e-6)
    assert model.training


def test_the_cache_knows_weights_and_jets(tmp_path, monkeypatch):
    model, jets = small_model(), packed(20)
    first = embed_jets(model, jets, cache=tmp_path)
    made = []
    embed = heads._embed
    monkeypatch.setattr(heads, "_embed", lambda *given: made.append(given) or embed(*given))
    np.testing.assert_array_equal(embed_jets(small_model(), jets, cache=tmp_path), first)
    embed_jets(model, jets.replace(label=None), cache=tmp_path)
    assert made == []
    embed_jets(small_model(seed=1), jets, cache=tmp_path)
    embed_jets(model, select(jets, torch.arange(19)), cache=tmp_path)
    embed_jets(model, jets.replace(features=jets.features + 1), cache=tmp_path)
    assert len(made) == len(list(tmp_path.iterdir())) - 1 == 3
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    np.testing.assert_array_equal(embed_jets(model, jets, cache=tmp_path), first)


def body_of(model):
    return {k: v.clone() for k, v in model.body.state_dict().items()}


def test_the_body_rests_while_the_head_learns():
    config = TrainConfig(epochs=1, batch_size=16, learning_rate=1e-2, head_updates=2, warmup_epochs=0)
    one = Trainer(small_model(), Classification(), packed(), packed(32, seed=9), config)
    before, head = body_of(one.model), one.model.classifier.logits.weight.detach().clone()
    for step in range(2):
        one.update(step)
    assert all(torch.equal(v, before[k]) for k, v in one.model.body.state_dict().items())
    assert not torch.equal(head, one.model.classifier.logits.weight)
    one.update(2)
    assert any(not torch.equal(v, before[k]) for k, v in one.model.body.state_dict().items())


def test_a_resumed_head_phase_changes_nothing(tmp_path):
    config = TrainConfig(epochs=2, batch_size=16, learning_rate=1e-2, head_updates=5, ema_decay=0.9)

    def train(folder, stop_at=None):
        run = Run(folder, vars(config))
        one = Trainer(small_model(), Classification(), packed(), packed(32, seed=9), config, run)
        one.fit(lambda record: (folder / "stop").touch() if record["step"] == stop_at else None)
        return one

    whole = train(tmp_path / "whole")
    stopped = train(tmp_path / "parts", stop_at=4)
    assert stopped.state.step == 4 and all(p.requires_grad for p in stopped.model.parameters())
    again = train(tmp_path / "parts")
    assert again.history.val_loss.tolist() == whole.history.val_loss.tolist()
    for a, b in zip(whole.model.state_dict().values(), again.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)
