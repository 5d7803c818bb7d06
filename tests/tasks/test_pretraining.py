import json

import pytest
from omnilearn_lab.errors import CheckpointError
from omnilearn_lab.models import load_checkpoint, read_card
from omnilearn_lab.tasks import PretrainConfig, pretrain
from omnilearn_lab.tasks import pretraining as module
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
