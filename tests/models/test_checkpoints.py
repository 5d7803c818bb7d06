"""Checkpoints: round trips, damaged and unfitting files."""

import json
import logging
import os

import pytest
import torch
from omnilearn_lab.errors import CheckpointError
from omnilearn_lab.models import (
    PET,
    PETConfig,
    checkpoints,
    has_checkpoint,
    load_checkpoint,
    load_published,
    read_card,
    save_checkpoint,
)
from safetensors.torch import load_file, save_file

CONFIG = PETConfig(width=16, n_layers=1, n_heads=2, n_classes=3)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return PET(CONFIG)


@pytest.fixture
def path(model, tmp_path):
    return save_checkpoint(model, tmp_path / "deep" / "a.safetensors", {"seed": 7, "data": {"n": 100}})


def test_round_trip_is_exact(model, path):
    again = load_checkpoint(path)
    assert again.config == CONFIG and not again.training
    for key, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])
    card = read_card(path)
    assert card["seed"] == 7 and card["data"] == {"n": 100} and card["model"] == "PET"
    assert card["n_parameters"] == sum(p.numel() for p in model.parameters())
    assert [p.name for p in sorted(path.parent.iterdir())] == ["a.safetensors", "a.safetensors.json"]


def test_half_precision_halves_the_file(model, path, tmp_path):
    half = save_checkpoint(model, tmp_path / "half.safetensors", half=True)
    assert half.stat().st_size < 0.6 * path.stat().st_size
    again = load_checkpoint(half)
    for key, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], value, rtol=1e-3, atol=1e-6)
    model.classifier.logits.weight.data.fill_(1e6)
    with pytest.raises(CheckpointError, match="classifier.logits.weight"):
        save_checkpoint(model, half, half=True)
    load_checkpoint(half)  # the old file is untouched


def test_other_heads_are_renewed_and_said(path, caplog):
    with caplog.at_level(logging.INFO, logger="omnilearn_lab.models"):
        assert load_checkpoint(path, n_classes=2).classifier.logits.out_features == 2
    assert "classifier.logits.weight" in caplog.text and "body" not in caplog.text


def test_damaged_file_is_detected(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)
    path.write_bytes(content[:100])
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


def rewrite(path, tensors, **changes):
    import hashlib

    save_file(tensors, path)
    card = {**read_card(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), **changes}
    path.with_name(path.name + ".json").write_text(json.dumps(card))


def test_missing_extra_and_misshaped_tensors_are_listed(path):
    tensors = load_file(path)
    tensors["body.nothing"] = tensors.pop("body.time.first.weight")
    tensors["classifier.logits.bias"] = torch.zeros(4)
    rewrite(path, tensors)
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(path)
    assert "missing ['body.time.first.weight']" in str(error.value)
    assert "not expected ['body.nothing']" in str(error.value)
    assert "classifier.logits.bias: (4,) instead of (3,)" in str(error.value)


def test_another_size_is_a_clear_error(path):
    rewrite(path, load_file(path), config={**read_card(path)["config"], "width": 32})
    with pytest.raises(CheckpointError, match="wrong shape .*body.embedding"):
        load_checkpoint(path)


def test_unreadable_cards_and_unknown_names(path, tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint 'large'"):
        load_checkpoint("large")
    rewrite(path, load_file(path), config={"widht": 3})
    with pytest.raises(CheckpointError, match="did you mean 'width'"):
        load_checkpoint(path)
    rewrite(path, load_file(path), model="PAT")
    with pytest.raises(CheckpointError, match="did you mean 'PET'"):
        load_checkpoint(path)
    path.with_name(path.name + ".json").unlink()
    with pytest.raises(CheckpointError, match="two files"):
        load_checkpoint(path)
    with pytest.raises(CheckpointError, match="cannot save a Linear"):
        save_checkpoint(torch.nn.Linear(1, 1), tmp_path / "b.safetensors")


def test_published_files_that_do_not_exist_or_end_otherwise(path):
    with pytest.raises(CheckpointError, match="no such file"):
        load_published("nowhere.weights.h5")
    with pytest.raises(CheckpointError, match="published weights end in"):
        load_published(path)


def test_weights_and_card_are_a_pair_wherever_writing_stops(model, path, monkeypatch, caplog):
    """The weights of a second save are there, its card is not: killed between the two."""
    first = read_card(path)

    def killed(*_):
        raise KeyboardInterrupt

    model.body.embedding.first.bias.data.fill_(0.5)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoints, "write_text", killed)
        save_checkpoint(model, path, {"seed": 8})
    assert read_card(path) == first
    again = load_checkpoint(path)
    assert (again.body.embedding.first.bias == 0.5).all() and "card inside" in caplog.text
    path.with_name(path.name + ".json").unlink()
    assert torch.equal(load_checkpoint(path).body.embedding.first.bias, again.body.embedding.first.bias)


@pytest.mark.parametrize(
    ("there", "here"),
    [
        (b"n_heads", b"n_headx"),
        (b'"n_heads\\": 2', b'"n_heads\\": 1'),
        (b"card", b"cart"),
        (b'{\\"', b'x\\"'),
    ],
)
def test_a_card_inside_is_not_believed_when_it_changed(path, there, here):
    """The card beside the weights is of others, and the one inside has a flipped byte."""
    content = path.read_bytes()
    assert there in content
    path.write_bytes(content.replace(there, here, 1))
    with pytest.raises(CheckpointError, match="the file is damaged, get it again"):
        load_checkpoint(path)


@pytest.mark.parametrize("metadata", [3, [], ["card"], "card", None, {"card": 5}])
def test_metadata_that_is_anything_is_an_error_of_ours(path, metadata):
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:start]) | {"__metadata__": metadata}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[start:])
    with pytest.raises(CheckpointError, match="get it again"):
        load_checkpoint(path)


def test_a_stopped_write_leaves_the_old_pair_and_nothing_else(model, path, monkeypatch):
    def full(*_):
        raise OSError("no space left on device")

    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        save_checkpoint(model, path)
    assert path.read_bytes() == before
    assert [p.name for p in sorted(path.parent.iterdir())] == ["a.safetensors", "a.safetensors.json"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(model, path, tmp_path, value):
    tensors = load_file(path)
    tensors["classifier.norm.bias"][3] = value
    rewrite(path, tensors)
    with pytest.raises(CheckpointError, match=r"not finite in \['classifier.norm.bias'\]"):
        load_checkpoint(path)
    model.body.time.first.weight.data[0, 0] = value
    with pytest.raises(CheckpointError, match="not finite"):
        save_checkpoint(model, tmp_path / "b.safetensors")
    assert not (tmp_path / "b.safetensors").exists()


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"n_layers": 10**30}, "n_layers"),
        ({"width": -4}, "width"),
        ({"width": 65536, "n_layers": 1024, "n_heads": 1}, "missing"),
        ({"layer_scale": 1e308}, "no network has these settings"),
    ],
)
def test_what_a_card_says_of_sizes_is_not_believed(path, sizes, message):
    """The last network would take 50 terabytes."""
    rewrite(path, load_file(path), config={**read_card(path)["config"], **sizes})
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "null", '"text"', '{"model": "PET"}', "\xff", ""])
def test_foreign_cards_are_our_errors(path, text):
    path.with_name(path.name + ".json").write_text(text, encoding="latin-1")
    with pytest.raises(CheckpointError, match="card"):
        read_card(path)
    with pytest.raises(CheckpointError, match="card"):
        load_checkpoint(path)


def test_foreign_weights_are_our_errors(path):
    for content in (b"", b"\x00" * 7, b"\xff" * 100, b"\x05\x00\x00\x00\x00\x00\x00\x00[[[[["):
        path.write_bytes(content)
        with pytest.raises(CheckpointError):
            load_checkpoint(path)


def test_there_is_one_way_to_ask_whether_a_checkpoint_is_here(path, tmp_path):
    assert has_checkpoint("tiny") and has_checkpoint(path)
    assert not has_checkpoint("nothing") and not has_checkpoint(tmp_path)
