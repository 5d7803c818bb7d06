import pytest
from omnilearn_lab.errors import CheckpointError
from omnilearn_lab.tasks.common import (
    ClassifierData,
    ClassifierSettings,
    load_trained,
    predict,
    train_classifier,
)
from omnilearn_lab.training import TrainConfig


def test_the_trained_network_gives_the_same_scores(jets, tmp_path):
    data = ClassifierData.from_jets({"train": jets[:30], "val": jets[30:40], "test": jets[40:]})
    settings = ClassifierSettings(2, init="tiny", training=TrainConfig(epochs=1, batch_size=10))
    trained = train_classifier(data, settings, run_directory=str(tmp_path / "run"))
    again = predict(load_trained(tmp_path / "run"), data.test)
    assert again == pytest.approx(trained.probabilities, abs=1e-6)


def test_unfinished_run_is_named(tmp_path):
    (tmp_path / "config.yaml").write_text("n_classes: 2\n")
    with pytest.raises(CheckpointError, match=r"best\.safetensors is missing"):
        load_trained(tmp_path)
