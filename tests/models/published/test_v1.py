"""Reading Keras files: both layouts, all ways to be wrong."""

import pathlib
import shutil

import h5py
import numpy as np
import pytest
import torch
from omnilearn_lab.errors import CheckpointError
from omnilearn_lab.models import Batch, PublishedPET, load_checkpoint, load_published, save_checkpoint
from omnilearn_lab.models.published.v1 import load_keras, save_keras

FIXTURES = pathlib.Path(__file__).resolve().parents[4] / "shared" / "fixtures"
NAMES = {"TF 2.15": "pet_v1_keras_small.weights.h5", "TF 2.14": "pet_v1_keras214_tiny.weights.h5"}

pytestmark = pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"no parity fixtures in {FIXTURES}")


@pytest.fixture
def copy(tmp_path):
    return pathlib.Path(shutil.copy(FIXTURES / NAMES["TF 2.14"], tmp_path))


def test_sizes_come_from_the_tensors():
    config = load_keras(FIXTURES / NAMES["TF 2.15"]).config
    assert (config.width, config.n_layers, config.n_heads, config.n_classes) == (64, 2, 4, 10)
    assert config.class_token == "zero" and config.feature_drop == config.label_drop == 0
    config = load_keras(FIXTURES / NAMES["TF 2.14"]).config
    assert (config.width, config.n_layers, config.n_heads, config.n_classes) == (32, 1, 4, 3)


@pytest.mark.parametrize("layout", ["TF 2.14", "TF 2.15"])
def test_round_trip_in_both_layouts(layout, tmp_path):
    model = load_keras(FIXTURES / NAMES["TF 2.15"])
    again = load_keras(save_keras(model, tmp_path / "again.weights.h5", layout=layout))
    assert again.config == model.config
    for key, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


def test_live_and_averaged_weights_differ():
    live, averaged = (load_keras(FIXTURES / NAMES["TF 2.15"], ema=ema) for ema in (False, True))
    assert not torch.equal(live.body.embedding.first.weight, averaged.body.embedding.first.weight)
    assert torch.equal(live.classifier.logits.weight, averaged.classifier.logits.weight)


def test_wrong_layout_is_loud(copy):
    with h5py.File(copy, "r+") as file:
        file.move("body", "trunk")
    with pytest.raises(CheckpointError, match="match neither layout"):
        load_keras(copy)


def test_missing_extra_and_misshaped_tensors_are_listed(copy):
    with h5py.File(copy, "r+") as file:
        body = file["body/_layer_checkpoint_dependencies"]
        body.move("dense_4", "dense_77")
        norm = body["group_normalization/vars"]
        del norm["0"]
        norm["0"] = [1.0]
    with pytest.raises(CheckpointError) as error:
        load_keras(copy)
    for text in ("missing ['body/dense_4/0']", "not expected ['body/dense_77/0']", "(1,) instead of (32,)"):
        assert text in str(error.value)


def test_truncated_file_and_missing_part(copy):
    with h5py.File(copy, "r+") as file:
        del file["ema_body"]
    load_keras(copy)
    with pytest.raises(CheckpointError, match="ema_body"):
        load_keras(copy, ema=True)
    copy.write_bytes(copy.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="not a readable HDF5 file"):
        load_keras(copy)


def test_load_published_chooses_padding_and_heads():
    path = FIXTURES / NAMES["TF 2.15"]
    model = load_published(path, n_classes=2, padding="published", padded_length=60)
    assert (
        isinstance(model, PublishedPET) and model.config.padded_length == 60 and model.config.n_classes == 2
    )
    with pytest.raises(CheckpointError, match="did you mean 'exact'"):
        load_published(path, padding="exactly")


def test_numbers_that_are_not_finite_and_false_sizes_are_refused(tmp_path):
    original, copy = FIXTURES / NAMES["TF 2.15"], tmp_path / "a.weights.h5"
    name = "layers/functional/layers/dense/vars/1"

    def changed(**dataset):
        shutil.copy(original, copy)
        with h5py.File(copy, "r+") as file:
            dataset.setdefault("data", np.full(file[name].shape, np.nan, np.float32))
            del file[name]
            file.create_dataset(name, **{key: value for key, value in dataset.items() if value is not None})
        with pytest.raises(CheckpointError) as error:
            load_keras(copy)
        return str(error.value)

    assert "not finite in ['body/dense/1']" in changed()
    assert "no tensor of a file" in changed(data=None, shape=(10**6, 10**6), dtype="f4", chunks=(100, 100))
    assert "no tensor of a file" in changed(data=np.array([b"text"] * 4))
    assert "body/dense/1: (1,) instead of" in changed(data=np.float32(1))


def test_fine_tuned_published_weights_keep_the_published_padding(tmp_path):
    model = load_published(FIXTURES / NAMES["TF 2.15"], n_classes=2, padded_length=40).eval()
    again = load_checkpoint(save_checkpoint(model, tmp_path / "tuned.safetensors"))
    assert isinstance(again, PublishedPET) and again.config == model.config
    rows = torch.randn(9, 13)
    jets = Batch(rows, rows[:, :2], torch.tensor([0, 4, 9]), torch.randn(2, 4))
    with torch.no_grad():
        torch.testing.assert_close(again.classify(jets).logits, model.classify(jets).logits)
        exact = load_published(FIXTURES / NAMES["TF 2.15"], padding="exact").classify(jets).jet
        assert (exact - again.classify(jets).jet).abs().max() > 1e-3
