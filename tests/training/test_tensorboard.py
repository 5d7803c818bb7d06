import sys

import pytest
from omnilearn_lab.errors import MissingDependencyError
from omnilearn_lab.training import Classification, Run, TrainConfig, Trainer
from omnilearn_lab.training.tensorboard import TensorBoardLog

from tests.training.helpers import packed, small_model

CONFIG = TrainConfig(epochs=1, batch_size=16, tensorboard=True)


def test_records_are_written(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    history = Trainer(
        small_model(), Classification(), packed(), packed(16), CONFIG, Run(tmp_path, vars(CONFIG))
    ).fit()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    written = events.Scalars("loss/validation")
    assert [e.step for e in written] == history.steps.tolist()
    assert [e.value for e in written] == pytest.approx(history.val_loss.tolist(), rel=1e-6)


def test_absent_tensorboard_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingDependencyError, match=r"omnilearn_lab\[tensorboard\]"):
        TensorBoardLog(tmp_path)
