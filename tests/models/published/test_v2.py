"""Checkpoints in the layout of the published program."""

import logging
import pickle

import pytest
import torch
from omnilearn_lab.errors import CheckpointError, ConfigError
from omnilearn_lab.models.pet_v2 import PETv2, PETv2Config
from omnilearn_lab.models.published.v2 import (
    infer_config,
    load_published_v2,
    published_name,
    read_published_v2,
    write_published_v2,
)
from tests.models.test_pet_v2 import CASES, FIXTURES, load_case, needs_fixtures

SMALL = {"width": 16, "n_layers": 1, "n_heads": 2, "n_head_layers": 1}


def path_of(case):
    return FIXTURES / f"pet_v2_small_{case}.pt"


@pytest.fixture
def written(tmp_path):
    """A small pretraining checkpoint, and the model in it."""
    torch.manual_seed(1)
    model = PETv2(PETv2Config(mode="pretrain", n_classes=5, n_species=9, n_extra=4, **SMALL))
    write_published_v2(model, tmp_path / "best_model_x.pt", ema=model)
    return tmp_path / "best_model_x.pt", model


@needs_fixtures
@pytest.mark.parametrize("case", CASES)
def test_every_published_tensor_makes_the_round_trip(case, tmp_path):
    model, averaged = load_case(case)[0], None
    published = read_published_v2(path_of(case))
    if "ema_generator" in published:
        averaged = load_case(case, weights="ema")[0]
    write_published_v2(model, tmp_path / "again.pt", ema=averaged)
    again = read_published_v2(tmp_path / "again.pt")
    parts = ["body", "classifier_head", "generator_head", "ema_body", "ema_generator"]
    if averaged is None:
        parts = parts[:3]
    for part in parts:
        assert again.get(part, {}).keys() == published.get(part, {}).keys(), part
        for name, value in published.get(part, {}).items():
            assert torch.equal(again[part][name], value), (part, name)


@needs_fixtures
@pytest.mark.parametrize("case", CASES)
def test_sizes_are_worked_out(case):
    model, arrays = load_case(case)
    config = model.config
    assert config.width == (32 if case in ("gen_cond", "pretrain") else 16)
    assert config.mode == {"clf": "classifier", "gen": "generator"}.get(case.split("_")[0], case)
    assert config.use_pair_bias == config.has_local_pairs == (case not in ("clf_noint", "gen_cond"))
    assert config.n_condition == arrays.get("cond", torch.zeros(0, 0)).shape[-1]
    assert config.n_extra == arrays.get("add_info", torch.zeros(0, 0)).shape[-1]


def test_names_of_a_full_model_are_one_to_one():
    model = PETv2(PETv2Config(mode="pretrain", n_classes=5, n_species=9, n_extra=4, n_condition=2, **SMALL))
    names = [published_name(name) for name in model.state_dict()]
    assert len(set(names)) == len(names)
    assert ("body", "MPFourier.freqs") in names and ("generator", "pid_embed.1.fc2.bias") in names


def test_named_sizes_tell_their_heads():
    model = PETv2(PETv2Config.named("small", n_layers=1, use_pair_bias=False))
    body = {published_name(name)[1]: value for name, value in model.body.state_dict(prefix="body.").items()}
    assert infer_config({"body": body}).n_heads == 8


@needs_fixtures
def test_unknown_heads_are_asked_for():
    with pytest.raises(CheckpointError, match="n_heads"):
        load_published_v2(path_of("clf_noint"))


def test_heads_of_another_task_start_anew_and_say_so(written, caplog):
    path, model = written
    with caplog.at_level(logging.INFO):
        other = load_published_v2(path, n_classes=2)
    assert "classifier.out.weight" in caplog.text and "generator.label.weight" in caplog.text
    assert other.classifier.out.weight.shape[0] == 2 and other.config.n_classes == 2
    torch.testing.assert_close(other.classifier.mlp.first.weight, model.classifier.mlp.first.weight)
    torch.testing.assert_close(other.body.token, model.body.token)


def damage(path, change):
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


def test_missing_extra_and_misshapen_tensors_are_listed(written):
    path, _ = written

    def change(content):
        del content["body"]["in_blocks.0.norm1.alpha"]
        content["body"]["surprise"] = torch.zeros(2)
        content["classifier_head"]["fc.fc1.weight"] = torch.zeros(3, 3)

    damage(path, change)
    with pytest.raises(CheckpointError) as caught:
        load_published_v2(path)
    message = str(caught.value)
    assert "missing ['body/in_blocks.0.norm1.alpha']" in message
    assert "not expected ['body/surprise']" in message
    assert "wrong shape ['classifier/fc.fc1.weight: (3, 3) instead of (128, 64)']" in message


def test_a_pickle_is_never_executed(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    with (tmp_path / "bad.pt").open("wb") as file:
        pickle.dump({"body": Harmful()}, file, protocol=2)
    torch.save({"body": Harmful()}, tmp_path / "worse.pt")
    (tmp_path / "login.pt").write_bytes(b"<!DOCTYPE html><html>")
    for name in ("bad.pt", "worse.pt", "login.pt"):
        with pytest.raises(CheckpointError, match="never executed.*Download it again") as caught:
            load_published_v2(tmp_path / name)
        assert "weights_only" not in str(caught.value)  # nor is it advised
    assert not (tmp_path / "executed").exists()


def test_other_files_are_named(tmp_path, written):
    path, _ = written
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        read_published_v2(tmp_path / "absent.pt")
    (tmp_path / "cut.pt").write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="truncated"):
        read_published_v2(tmp_path / "cut.pt")
    torch.save({"weights": torch.zeros(1)}, tmp_path / "else.pt")
    with pytest.raises(CheckpointError, match="no part 'body'"):
        read_published_v2(tmp_path / "else.pt")
    with pytest.raises(CheckpointError, match="did you mean 'ema'"):
        load_published_v2(path, weights="emma")


def test_averaged_weights_must_be_there(written):
    path, _ = written
    damage(path, lambda content: content.pop("ema_body"))
    load_published_v2(path)
    with pytest.raises(CheckpointError, match="no averaged weights"):
        load_published_v2(path, weights="ema")


def test_heads_refuse_jet_features():
    with pytest.raises(ConfigError, match="no setting 'n_jet_features'"):
        PETv2(PETv2Config(**SMALL)).replace_heads(n_jet_features=4)


def test_numbers_that_are_not_finite_and_false_sizes_are_refused(written):
    path, _ = written
    damage(path, lambda content: content["body"]["token"].fill_(float("nan")))
    with pytest.raises(CheckpointError, match=r"not finite in \['body/token'\]"):
        load_published_v2(path)
    huge = torch.zeros(1).expand(10**6, 10**6)  # four bytes that call themselves four terabytes
    damage(path, lambda content: content["body"].update({"embed.mlp.fc1.weight": huge}))
    with pytest.raises(CheckpointError, match="larger than the file"):
        load_published_v2(path)
    damage(path, lambda content: content["body"].update({"embed.mlp.fc1.weight": "text"}))
    with pytest.raises(CheckpointError, match="something else than tensors"):
        load_published_v2(path)
