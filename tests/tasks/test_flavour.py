"""Flavour tagging."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.jets import Jets
from omnilearn_lab.metrics import roc
from omnilearn_lab.models import PETv2, PETv2Config, save_checkpoint
from omnilearn_lab.models.baselines import TrackTransformer
from omnilearn_lab.readers import GN2_TRACK_INPUTS
from omnilearn_lab.tasks.common import make_model
from omnilearn_lab.tasks.flavour import (
    FlavourSettings,
    TrackInputs,
    compare_taggers,
    displacement_score,
    displacement_table,
    flavour_discriminant,
    reference_probabilities,
    tagger_scores,
    tagger_values,
    train_displacement_trees,
    train_frozen_tagger,
    train_tagger,
)
from omnilearn_lab.training import TrainConfig


@pytest.fixture(scope="module")
def splits():
    sizes = {"train": 300, "val": 150, "test": 300}
    return {name: flavour_jets(n, seed) for seed, (name, n) in enumerate(sizes.items())}


@pytest.mark.parametrize("published", [False, True])
def test_table_holds_the_largest_significances_of_each_jet(published):
    jets = flavour_jets(50, published=published)
    table = displacement_table(jets, 3)
    assert table.shape == (50, 9)
    assert np.nansum(table[:, :3], axis=1) == pytest.approx(displacement_score(jets))
    filled = np.isfinite(table[:, :3]).sum(axis=1)
    assert filled.tolist() == np.minimum(jets.counts, 3).tolist()
    assert all(np.all(np.diff(row[:n]) <= 0) for row, n in zip(table, filled, strict=True))


def test_boosted_trees_find_displaced_tracks(splits):
    result = train_displacement_trees(splits)
    assert result.values()["AUC, b against light"] > 0.9
    assert result.probabilities.shape == (300, 4) and result.n_train == 300


def test_a_frozen_pet_v2_sees_impact_parameters(splits, tmp_path, monkeypatch):
    monkeypatch.setenv("OMNILEARN_LAB_DATA", str(tmp_path))
    assert train_frozen_tagger(splits).values()["AUC, b against light"] > 0.7
    with pytest.raises(ConfigError, match="holds no PET v2"):
        train_frozen_tagger(splits, "tiny")


def flavour_jets(n_jets=40, seed=0, *, published=False):
    """Jets of tracks; those of b jets (label 2) are displaced."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 9, n_jets)
    label = rng.integers(0, 4, n_jets)
    total, offsets = counts.sum(), np.concatenate([[0], np.cumsum(counts)])
    pt = rng.exponential(5, total) + 0.5
    size = np.repeat(np.where(label == 2, 1.0, 0.05), counts)
    columns = {
        "deta": rng.normal(0, 0.1, total),
        "dphi": rng.normal(0, 0.1, total),
        "pt": pt,
        "energy": 2 * pt,
    }
    columns |= {"charge": rng.choice([-1, 1], total), "origin": rng.integers(2, 8, total)}
    columns |= {"d0": rng.normal(0, size), "dz": rng.normal(0, size)}
    columns |= {"lifetime_d0": size + rng.normal(0, 0.05, total), "lifetime_dz": rng.normal(0, size)}
    columns |= {"d0_err": np.full(total, 0.05), "dz_err": np.full(total, 0.1)}
    jet = {"pt": rng.uniform(20, 250, n_jets), "eta": rng.uniform(-2, 2, n_jets)}
    jet |= {"phi": rng.uniform(-3, 3, n_jets), "mass": rng.uniform(1, 20, n_jets), "label": label}
    if published:
        columns |= {name: rng.normal(size=total) for name in GN2_TRACK_INPUTS[4:]}
        jet |= {f"GN2v01_p{name}": rng.uniform(size=n_jets) for name in ("u", "c", "b", "tau")}
    return Jets.build(columns, offsets, jet, class_names=["light", "c", "b", "tau"])


@pytest.mark.parametrize(("published", "n_extra"), [(False, 7), (True, 17)])
def test_inputs_are_of_order_one(published, n_extra):
    jets = flavour_jets(published=published)
    batch = TrackInputs.of(jets).batch(jets)
    assert batch.extra.shape == (jets.n_particles, n_extra)
    assert batch.extra.mean(0).abs().max() < 1e-4
    varying = batch.extra.std(0) > 1e-5  # the errors are constant here
    assert (batch.extra.std(0)[varying] - 1).abs().max() < 0.05
    assert batch.condition.shape == (len(jets), 4)
    assert batch.particle_label.tolist() == jets.particles["origin"].tolist()


def test_scale_is_that_of_the_training_jets():
    train, test = flavour_jets(seed=1), flavour_jets(seed=2)
    data = TrackInputs.of(train).data({"train": train, "val": test, "test": test})
    assert data.train.extra.mean(0).abs().max() < 1e-4
    assert data.test.extra.mean(0).abs().max() > 1e-3


def test_significance_and_curvature_by_hand():
    jets = flavour_jets(3)
    inputs = TrackInputs(("significance of lifetime_d0", "charge / momentum"), (0.0, 0.0), (1.0, 1.0))
    first = inputs.batch(jets).extra[0].tolist()
    ratio = jets.particles["lifetime_d0"][0] / jets.particles["d0_err"][0]
    momentum = jets.particles["pt"][0] * np.cosh(jets.jet["eta"][0] + jets.particles["deta"][0])
    assert first[0] == pytest.approx(np.sign(ratio) * np.log1p(abs(ratio)), rel=1e-5)
    assert first[1] == pytest.approx(jets.particles["charge"][0] / momentum, rel=1e-5)


def test_missing_column_is_named(jets):
    with pytest.raises(JetsError, match="lifetime_d0"):
        TrackInputs.of(jets)


def test_displacement_score_by_hand_and_as_a_tagger():
    jets = flavour_jets(400)
    significance = jets.particles["lifetime_d0"] / jets.particles["d0_err"]
    first = significance[: jets.counts[0]]
    score = displacement_score(jets)
    assert score[0] == pytest.approx(np.sort(first)[::-1][:3].sum(), rel=1e-5)
    assert score[jets.label == 2].mean() > 5 * score[jets.label != 2].mean()


def test_probabilities_of_gn2_where_the_files_have_them():
    assert reference_probabilities(flavour_jets()) is None
    jets = flavour_jets(published=True)
    found = reference_probabilities(jets)
    assert found.shape == (len(jets), 4)
    assert found[:, 2] == pytest.approx(jets.jet["GN2v01_pb"])


LABEL = np.repeat([0, 1, 2, 3], 200)


def guesses(seed, strength=2.0):
    """Probabilities of a tagger that knows something."""
    logits = np.random.default_rng(seed).normal(size=(len(LABEL), 4)) + strength * np.eye(4)[LABEL]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_discriminant_by_hand():
    light, c, b, tau = 0.5, 0.2, 0.25, 0.05
    found = [flavour_discriminant(np.array([[light, c, b, tau]]), target)[0] for target in ("b", "c")]
    assert found[0] == pytest.approx(np.log(b / (0.2 * c + 0.01 * tau + 0.79 * light)))
    assert found[1] == pytest.approx(np.log(c / (0.2 * b + 0.01 * tau + 0.79 * light)))


def test_discriminant_of_a_certain_jet_is_finite():
    assert np.isfinite(flavour_discriminant(np.eye(4), "b")).all()


def test_no_discriminant_for_tau():
    with pytest.raises(ConfigError, match="known: b, c"):
        flavour_discriminant(np.eye(4), "tau")


def test_scores_hold_two_flavours_per_seed():
    pairs = tagger_scores({"ours": [guesses(1), guesses(2)]}, LABEL, "b", "light")["ours"]
    assert [len(score) for score, _ in pairs] == [400, 400]
    assert [int(is_target.sum()) for _, is_target in pairs] == [200, 200]
    score, is_target = pairs[0]
    assert score[is_target == 1].mean() > score[is_target == 0].mean()


def test_rejection_at_an_efficiency_is_counted():
    values = tagger_values(guesses(1, 0.8), LABEL, {"c": 0.7})
    ((score, is_target),) = tagger_scores({"": [guesses(1, 0.8)]}, LABEL, "c", "b")[""]
    cut = np.quantile(score[is_target == 1], 0.3)
    passed = (score[is_target == 0] > cut).mean()
    assert values["c at 70 %: against b"] == pytest.approx(1 / passed, rel=0.1)
    assert values["AUC, c against b"] == pytest.approx(roc(score, is_target).auc)


def test_every_target_is_measured_against_all_others():
    values = tagger_values(guesses(1), LABEL)
    names = [f"b at 70 %: against {n}" for n in ("light", "c", "tau")]
    names += [f"c at 30 %: against {n}" for n in ("light", "b", "tau")]
    assert [name for name in values if "%" in name] == names


def test_absent_flavour_is_left_out():
    kept = LABEL != 3
    assert not any("tau" in name for name in tagger_values(guesses(1)[kept], LABEL[kept]))


QUICK = TrainConfig(epochs=1, batch_size=20, learning_rate=1e-3, validations_per_epoch=1, weight_decay=0.0)
SETTINGS = FlavourSettings(training=QUICK)


@pytest.fixture(scope="module")
def data():
    sizes = {"train": 60, "val": 30, "test": 200}
    jets = {s: flavour_jets(n, i) for i, (s, n) in enumerate(sizes.items())}
    return TrackInputs.of(jets["train"]).data(jets)


@pytest.mark.parametrize("network", ["pet_v2", "track_transformer"])
@pytest.mark.parametrize("origins", [0.0, 1.0])
def test_every_tagger_trains_and_answers(data, network, origins):
    result = train_tagger(data, replace(SETTINGS, network=network, origins=origins))
    assert result.probabilities.shape == (200, 4)
    assert result.probabilities.sum(axis=1) == pytest.approx(1)
    assert ("classification_tracks" in result.history.records[-1]) == bool(origins)
    assert set(result.errors()) == set(result.values()) - {"best_val_loss", "epochs"}
    assert all(each.shape == (200,) for each in result.influences.values())


def test_displaced_tracks_are_learned(data):
    training = replace(QUICK, epochs=20)
    result = train_tagger(data, replace(SETTINGS, network="track_transformer", training=training))
    is_b = data.test.label.numpy() == 2
    score = flavour_discriminant(result.probabilities)
    order = np.argsort(-score)[: is_b.sum()]
    assert is_b[order].mean() > 2 * is_b.mean()


def test_same_seed_same_network_and_another_seed_another(data):
    taggers = {"GN2-like": replace(SETTINGS, network="track_transformer")}
    first, second = compare_taggers(data, taggers, (1, 2), workers=1, progress=False).of("GN2-like")
    (again,) = compare_taggers(data, taggers, (1,), workers=1, progress=False).of("GN2-like")
    assert np.array_equal(first.probabilities, again.probabilities)
    assert not np.array_equal(first.probabilities, second.probabilities)
    assert {"auc", "b at 70 %: against light", "AUC, b against c", "best_val_loss"} <= set(first.values())


def test_body_comes_from_the_checkpoint_and_the_rest_starts_anew(tmp_path):
    torch.manual_seed(5)
    pretrained = PETv2(
        PETv2Config.named("tiny", mode="pretrain", n_classes=10, n_species=9, n_extra=4, n_condition=0)
    )
    path = tmp_path / "v2.safetensors"
    save_checkpoint(pretrained, path, card={})
    model = make_model(replace(SETTINGS, init=str(path)).classifier(7))
    body, source = model.body.state_dict(), pretrained.body.state_dict()
    shared = [name for name in body if name in source and body[name].shape == source[name].shape]
    assert len(shared) > 50
    assert all(torch.equal(body[name], source[name]) for name in shared)
    assert model.config.n_extra == 7 and model.config.mode == "ftag"
    fresh = [name for name in body if name not in shared]
    assert all(name.startswith(("extra.", "condition.")) for name in fresh)


def test_both_kinds_have_the_sizes_asked_for():
    model = make_model(replace(SETTINGS, network="track_transformer").classifier(7))
    assert isinstance(model, TrackTransformer)
    assert model.config.n_extra == 7 and model.config.n_particle_classes == 8
    assert make_model(replace(SETTINGS, origins=0.0).classifier(7)).generator is None


def test_wrong_settings_are_named(data):
    with pytest.raises(ConfigError, match="did you mean 'pet_v2'"):
        FlavourSettings(network="pet_v3")
    with pytest.raises(ConfigError, match="init must be 'scratch'"):
        FlavourSettings(network="track_transformer", init="tiny")
    with pytest.raises(ConfigError, match="holds no PET v2"):
        replace(SETTINGS, init="tiny").classifier(7)
    bare = replace(data, train=data.train.replace(particle_label=None))
    with pytest.raises(ConfigError, match="set origins=0"):
        train_tagger(bare, SETTINGS)
