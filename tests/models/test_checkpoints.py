"""Checkpoints: round trips, damaged and unfitting files."""

import json
import logging

import pytest
import torch
from omnilearn_lab.errors import CheckpointError
from omnilearn_lab.models import PET, PETConfig, load_checkpoint, load_published, read_card, save_checkpoint
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
