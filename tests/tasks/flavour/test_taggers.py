from dataclasses import replace

import numpy as np
import pytest
import torch
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models import PETv2, PETv2Config, save_checkpoint
from omnilearn_lab.models.baselines import TrackTransformer
from omnilearn_lab.tasks.common import make_model
from omnilearn_lab.tasks.flavour.inputs import TrackInputs
from omnilearn_lab.tasks.flavour.rejections import flavour_discriminant
from omnilearn_lab.tasks.flavour.taggers import FlavourSettings, compare_taggers, train_tagger
from omnilearn_lab.training import TrainConfig
from tests.tasks.flavour.test_inputs import flavour_jets

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
