"""Pretraining, its jets and its card."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest
import torch
import yaml
from filelock import FileLock
from omnilearn_lab.errors import CheckpointError, ConfigError, TrainingError
from omnilearn_lab.jets import Jets, write_jets
from omnilearn_lab.models import (
    load_checkpoint,
    read_card,
    shipped_checkpoints,
)
from omnilearn_lab.settings import from_mapping, to_mapping
from omnilearn_lab.tasks.common.networks import (
    ClassifierSettings,
    describe_checkpoint,
    inputs_of,
    load_classifier,
    make_model,
    network_of,
)
from omnilearn_lab.tasks.pretraining import (
    PretrainConfig,
    launch_pretraining,
    pretrain,
)
from omnilearn_lab.tasks.pretraining import pretraining as module
from omnilearn_lab.tasks.pretraining.pretraining import Objectives
from omnilearn_lab.training import FlowPretraining, History, JointPretraining, Shard, TrainConfig
from safetensors.torch import load_file
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


def test_going_on_from_a_checkpoint(without_simulation, tmp_path):
    path = pretrain(CONFIG, tmp_path / "first")
    further = replace(CONFIG, initial=str(path), seed=2)
    starts, ends = further.model(3).state_dict(), load_checkpoint(path).state_dict()
    assert all(torch.equal(starts[name], value) for name, value in ends.items())
    card = read_card(pretrain(further, tmp_path / "second"))
    assert (card["data"]["jets_seen"], card["data"]["jets_seen_before"]) == (64, 64)
    assert card["initial"]["sha256"] == read_card(path)["sha256"]
    with pytest.raises(CheckpointError):
        replace(further, size="small").model(3)


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


@pytest.mark.parametrize(
    ("asked", "mode"),
    [
        ({"masked": 1}, "pretrain"),
        ({"generation": 0}, "classifier"),
        ({"classification": 0, "masked": 0.5}, "generator"),
        ({"classification": 0, "generation": 0, "masked": 1}, "masked"),
    ],
)
def test_objectives_choose_the_heads_and_weigh_the_loss(without_simulation, tmp_path, asked, mode):
    small = {"width": 16, "n_layers": 1, "n_heads": 2, "n_head_layers": 1, "n_neighbors": 3}
    read = {"network": "pet_v2", "objectives": {**asked, "n_codes": 20}, "changes": small, "max_particles": 6}
    config = from_mapping(PretrainConfig, to_mapping(CONFIG) | read)
    assert from_mapping(PretrainConfig, to_mapping(config)) == config
    objective = config.objective()
    factors = {"classification": 1.0, "generation": 1.0, "masked": 0.0} | asked
    assert {name: getattr(objective, name) for name in factors} == factors
    path = pretrain(config, tmp_path)
    model, card = load_checkpoint(path), read_card(path)
    assert model.config.mode == mode and (model.masked is not None) == ("masked" in asked)
    assert ("held_out" in card) == ("classification" not in asked)
    assert ("masked" in card["history"][0]) == ("masked" in asked)
    if model.masked is not None:
        assert len(model.masked.codebook.centers.unique(dim=0)) == 20
    tuned = load_classifier(str(path), n_classes=2)
    assert tuned.config.mode == "classifier" and tuned.masked is None
    assert torch.equal(tuned.body.token, model.body.token)
    assert describe_checkpoint(str(path)).startswith("64 ")


def test_objectives_that_a_network_lacks_are_refused():
    with pytest.raises(ConfigError, match="masked: a pretraining of 'pet' has none"):
        PretrainConfig(objectives=Objectives(masked=1))
    with pytest.raises(ConfigError, match="objectives: a pretraining of 'tokens' has none"):
        PretrainConfig(network="tokens", objectives=Objectives())
    with pytest.raises(ConfigError, match="all factors are 0"):
        Objectives(0, 0, 0)


def test_without_objectives_the_loss_is_that_of_the_papers():
    for network, plain in (("pet", JointPretraining()), ("pet_v2", FlowPretraining())):
        assert PretrainConfig(network=network).objective() == plain
        assert PretrainConfig(network=network, objectives=Objectives()).objective() == plain


def test_tokens_are_pretrained_and_classify_with_the_same_words(without_simulation, tmp_path):
    changes = {"n_codes": 20, "width": 16, "n_layers": 1, "n_heads": 2}
    config = replace(CONFIG, network="tokens", changes=changes)
    path = str(pretrain(config, tmp_path))
    card, model = read_card(path), load_checkpoint(path)
    assert card["history"][-1]["next_token"] < card["history"][0]["next_token"] and "held_out" not in card
    assert inputs_of(path) == "pet_v2" and network_of(path) == "tokens"
    tuned = make_model(ClassifierSettings(2, init=path))
    scratch = make_model(ClassifierSettings(2, like=path))
    for other in (tuned, scratch):
        assert torch.equal(other.codebook.centers, model.codebook.centers)
    assert torch.equal(tuned.body.embedding.weight, model.body.embedding.weight)
    assert not torch.equal(scratch.body.embedding.weight, model.body.embedding.weight)


def test_unknown_network_is_named():
    with pytest.raises(ConfigError, match="did you mean 'pet_v2'"):
        PretrainConfig(network="petv2")


def test_options_alone_make_the_shipped_checkpoint():
    assert "config.yaml" not in from_mapping(PretrainConfig, read_card("tiny")["settings"]).command


@pytest.mark.parametrize("name", shipped_checkpoints())
def test_card_names_a_command_with_the_settings_of_the_checkpoint(name):
    card = read_card(name)
    settings = from_mapping(PretrainConfig, card["settings"])
    assert card["made_with"] in (settings.command, f"omnilearn-lab pretrain --like {name}")


def test_command_holds_what_is_not_usual_or_points_to_the_file():
    assert PretrainConfig(network="pet_v2").command == "omnilearn-lab pretrain --network pet_v2 --size tiny"
    usual = PretrainConfig().training
    fewer = PretrainConfig(n_train=500, training=replace(usual, epochs=0.5))
    assert fewer.command == "omnilearn-lab pretrain --network pet --size tiny --n-train 500 --epochs 0.5"
    further = PretrainConfig(initial="tiny", size="tiny")
    assert further.command == "omnilearn-lab pretrain --network pet --size tiny --initial tiny"
    other = PretrainConfig(training=replace(usual, learning_rate=0.1))
    assert other.command == "omnilearn-lab pretrain config.yaml"


def test_finished_pretraining_is_not_repeated(without_simulation, tmp_path):
    first = load_file(pretrain(CONFIG, tmp_path))
    records = []
    again = load_file(pretrain(CONFIG, tmp_path, on_record=records.append))
    assert records == [] and again.keys() == first.keys()
    assert all(torch.equal(again[name], value) for name, value in first.items())


def test_checkpoint_of_another_size_is_refused(without_simulation, tmp_path):
    path = pretrain(CONFIG, tmp_path)
    card_file = path.with_name(path.name + ".json")
    card = json.loads(card_file.read_text())
    card["config"]["width"] = 128
    card_file.write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match="wrong shape"):
        load_checkpoint(path)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A data folder with files in the ML-ready layout, so that child processes need not simulate."""
    monkeypatch.setenv("OMNILEARN_LAB_DATA", str(tmp_path / "data"))
    for split, n in {"train": 64, "val": 20, "test": 40}.items():
        jets = random_jets(n, seed=n, mean=8, n_classes=10)
        jets = replace(jets, jet={**jets.jet, "label": np.arange(n) % 10})
        folder = tmp_path / "data" / "jetclass" / "ml_ready" / split
        folder.mkdir(parents=True)
        write_jets(jets, folder / "jets.h5")
    return tmp_path


def trace(directory):
    return [{k: v for k, v in r.items() if k != "seconds"} for r in History.load(directory).records]


def assert_close(ours, theirs):
    assert len(ours) == len(theirs) > 2
    for a, b in zip(ours, theirs, strict=True):
        assert a.pop("kind") == b.pop("kind")
        assert a == pytest.approx(b, rel=1e-4)


def test_streaming_is_chosen_where_memory_does_not_suffice(published, monkeypatch):
    source = replace(CONFIG, source="published")
    assert isinstance(module.load_pretraining_data(source).train, Jets)
    monkeypatch.setattr(module, "fits_in_memory", lambda n: False)
    data = module.load_pretraining_data(source)
    assert [path.name for path in data.train] == ["jets.h5"]
    assert len(data.inputs(CONFIG.inputs, 16, seed=1, shard=Shard()).batch(0)) == 16
    assert len(data.inputs(CONFIG.inputs, 16, seed=1, shard=Shard(1, 2)).batch(0)) == 8
    with pytest.raises(ConfigError, match="do not fit into memory.*convert [^,]*, or use fewer"):
        module.load_pretraining_data(replace(source, dataset="top_tagging"))
    with pytest.raises(ConfigError, match="data simulate top_tagging jets.h5 --n-jets 64 --seed 1"):
        module.load_pretraining_data(replace(source, dataset="top_tagging", source="simulated"))


def test_a_run_reads_its_jets_as_at_its_first_start(published, monkeypatch):
    source, run = replace(CONFIG, source="published"), published / "run"
    monkeypatch.setattr(module, "fits_in_memory", lambda n: False)
    with pytest.raises(ConfigError, match="do not fit into memory"):
        module.settled(replace(source, dataset="top_tagging"), run)
    assert module.settled(source, run).streaming == "always"
    monkeypatch.undo()
    assert module.settled(source, run).streaming == "always"
    assert module.settled(source, published / "another").streaming == "never"
    assert module.settled(replace(source, streaming="never"), run).streaming == "never"
    assert (run / "streaming.txt").read_text() == "always"


def test_pretraining_from_a_stream(published):
    config = replace(CONFIG, source="published", streaming="always")
    path = pretrain(config, published / "run")
    assert read_card(path)["data"]["jets_seen"] == 64
    whole = pretrain(replace(config, n_train=32), published / "all of the file")
    assert read_card(whole)["data"]["n_train"] == 64


def test_asked_to_stop_at_the_very_end_it_is_complete(without_simulation, tmp_path):
    def stop(record):
        if record["step"] == 4:
            (tmp_path / "stop").touch()

    assert pretrain(CONFIG, tmp_path, on_record=stop).is_file()


def test_a_second_writer_is_refused(without_simulation, tmp_path):
    with FileLock(tmp_path / "training.lock"), pytest.raises(TrainingError, match="another process"):
        pretrain(CONFIG, tmp_path)


@pytest.mark.slow
def test_launched_from_notebook_and_command_line_equal_one_process(published):
    config = replace(CONFIG, source="published")
    pretrain(config, published / "one")
    launched = launch_pretraining(config, published / "two", n_processes=2)
    assert launched.wait(300) == "finished", launched.tail(40)
    assert read_card(published / "two" / config.file_name)["data"]["processes"] == 2
    settings = published / "settings.yaml"
    settings.write_text(yaml.safe_dump(to_mapping(config)))
    command = [sys.executable, "-m", "omnilearn_lab.cli", "pretrain", settings, "--processes", "2"]
    subprocess.run([*map(str, command), "--directory", str(published / "three")], check=True, timeout=300)
    for name in ("two", "three"):
        assert_close(trace(published / name), trace(published / "one"))


@pytest.mark.slow
def test_a_launched_run_that_was_killed_goes_on_through_the_command_line(published):
    training = replace(CONFIG.training, epochs=60, checkpoint_minutes=1e-3, validations_per_epoch=0.2)
    config = replace(CONFIG, source="published", training=training)
    whole = launch_pretraining(config, published / "whole", n_processes=1)
    killed = launch_pretraining(config, published / "killed", n_processes=1)
    deadline = time.monotonic() + 200
    while len(trace(published / "killed") if _has_records(published / "killed") else []) < 4:
        assert time.monotonic() < deadline and killed.is_running, killed.tail(40)
        time.sleep(0.05)
    watcher = psutil.Process(killed.pid)
    for process in [watcher, *watcher.children(recursive=True)]:
        process.kill()
    assert killed.wait(60) == "killed"
    config_file = published / "killed" / "config.yaml"
    command = [sys.executable, "-m", "omnilearn_lab.cli", "pretrain", str(config_file)]
    subprocess.run([*command, "--directory", str(published / "killed")], check=True, timeout=300)
    assert whole.wait(300) == "finished"
    assert trace(published / "killed") == trace(published / "whole")


def _has_records(directory):
    return (directory / "metrics.jsonl").is_file()
