import json
from dataclasses import replace

import pytest
import torch
from omnilearn_lab.config import to_mapping
from omnilearn_lab.errors import CheckpointError, ConfigError
from omnilearn_lab.models import load_checkpoint, read_card
from omnilearn_lab.tasks import PretrainConfig, pretrain
from omnilearn_lab.tasks import pretraining_data as module
from omnilearn_lab.tasks.networks import load_classifier
from omnilearn_lab.tasks.pretraining_card import rounding_loss
from omnilearn_lab.training import TrainConfig
from tests.conftest import random_jets

CONFIG = PretrainConfig(
    n_train=64,
    n_validation=20,
    n_test=40,
    training=TrainConfig(epochs=1, batch_size=16, ema_decay=0.9, validations_per_epoch=1),
)


@pytest.fixture
def without_simulation(monkeypatch):
    def load(dataset, split, *, source, max_jets, seed):
        return random_jets(max_jets, seed=len(split), mean=8, n_classes=3)

    monkeypatch.setattr(module, "load", load)


def test_checkpoint_and_card(without_simulation, tmp_path):
    path = pretrain(CONFIG, tmp_path)
    assert load_checkpoint(path).config.n_classes == 3
    card = read_card(path)
    assert card["data"]["n_train"] == 64
    assert card["data"]["jets_seen"] == 64
    assert 0 <= card["held_out"]["accuracy"] <= 1
    assert set(card["held_out"]["auc_by_class"]) == {"class 0", "class 1", "class 2"}
    assert [r["step"] for r in card["history"]] == [0, 4]
    assert card["environment"]["versions"]["torch"]
    assert json.dumps(card)


def test_pet_v2_goes_the_same_way(without_simulation, tmp_path):
    path = pretrain(replace(CONFIG, network="pet_v2"), tmp_path)
    assert path.name == "pet_v2_tiny.safetensors"
    model = load_checkpoint(path)
    assert type(model).__name__ == "PETv2" and model.config.mode == "pretrain"
    assert all(p.dtype == torch.float32 for p in model.parameters())
    card = read_card(path)
    assert card["held_out_hidden"]["accuracy"] != card["held_out"]["accuracy"]
    assert {"generation", "classification_noised"} <= set(card["history"][0])
    assert load_classifier(str(path), n_classes=2).config.mode == "classifier"


def test_unknown_network_is_named():
    with pytest.raises(ConfigError, match="did you mean 'pet_v2'"):
        PretrainConfig(network="petv2")


def test_defaults_of_the_shipped_checkpoint_stay():
    made_with = read_card("tiny")["settings"]
    now = to_mapping(PretrainConfig())
    assert {k: v for k, v in made_with.items() if k != "training"}.items() <= now.items()
    assert made_with["training"].items() <= now["training"].items()


def test_half_precision_only_where_it_loses_nothing():
    exact = {"n_jets": 10_000, "accuracy": 0.7, "auc_one_vs_one": 0.9}
    assert rounding_loss(exact, exact) == 0
    assert rounding_loss(exact, exact | {"auc_one_vs_one": 0.89}) > 1


def test_finished_pretraining_is_not_repeated(without_simulation, tmp_path):
    first = pretrain(CONFIG, tmp_path).read_bytes()
    records = []
    assert pretrain(CONFIG, tmp_path, on_record=records.append).read_bytes() == first
    assert records == []


def test_checkpoint_of_another_size_is_refused(without_simulation, tmp_path):
    path = pretrain(CONFIG, tmp_path)
    card_file = path.with_name(path.name + ".json")
    card = json.loads(card_file.read_text())
    card["config"]["width"] = 128
    card_file.write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match="wrong shape"):
        load_checkpoint(path)
