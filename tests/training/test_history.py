import sys

import pytest
import torch
from omnilearn_lab.errors import MissingDependencyError, TrainingError
from omnilearn_lab.training import Classification, History, Run, TrainConfig, Trainer
from omnilearn_lab.training.history import LossMeter, TensorBoardLog

from tests.training.helpers import packed, small_model


def record(step, kind="validation", **terms):
    return {"kind": kind, "step": step, "loss": 1 / (1 + step), **terms}


def test_a_history_is_read_back_and_rewound(tmp_path):
    written = History(path=tmp_path / "metrics.jsonl")
    for step in range(4):
        written.append(record(step))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "valid')
    read = History.load(tmp_path)
    assert read.records == written.records
    read.rewind(1)
    assert History.load(tmp_path).column("step").tolist() == [0, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_history_names_what_it_lacks(tmp_path):
    history = History([record(1), record(2, "train")])
    with pytest.raises(TrainingError, match="no 'los' in the train records.*'loss'"):
        history.column("los", "train")
    with pytest.raises(TrainingError, match="no history at"):
        History.load(tmp_path)
    for bad in ("3", "[]", "{}", '{"kind": "train"}', '{"kind": "train", "step": "x"}', "[" * 10_000):
        good = '{"kind": "train", "step": 1}'
        (tmp_path / "metrics.jsonl").write_text("\n".join([good, good, bad, good]))
        with pytest.raises(TrainingError, match="line 3 is no record"):
            History.load(tmp_path)


def test_means_start_over():
    meter = LossMeter()
    for step, value in enumerate([1.0, 2.0, 6.0]):
        assert meter.add(step, {"loss": torch.tensor(value), "other": torch.tensor(2 * value)}) is None
    assert meter.means() == {"loss": 3.0, "other": 6.0}
    meter.add(3, {"loss": torch.tensor(5.0)})
    assert meter.means() == {"loss": 5.0}


def test_going_on_from_saved_sums_changes_no_bit():
    values = torch.rand(20, generator=torch.Generator().manual_seed(1))
    whole, first = LossMeter(), LossMeter()
    for step, value in enumerate(values):
        whole.add(step, {"loss": value})
    for step in range(7):
        first.add(step, {"loss": values[step]})
    second = LossMeter(first.sums, first.n_summed)
    for step in range(7, 20):
        second.add(step, {"loss": values[step]})
    assert second.means() == whole.means()


def test_the_first_bad_step_is_named():
    meter = LossMeter()
    assert meter.add(3, {"loss": torch.tensor(1.0)}) is None
    assert meter.add(4, {"loss": torch.tensor(torch.inf)}) == 4
    assert meter.find_bad() is None


class DeviceLoss:
    """Stands for a loss on a GPU."""

    device = torch.device("cuda")

    def __init__(self, value):
        self.value = value

    def double(self):
        return torch.tensor(self.value).double()


def test_losses_on_a_gpu_are_read_every_32_updates(monkeypatch):
    monkeypatch.setattr(torch, "stack", lambda losses: torch.tensor([loss.value for loss in losses]))
    meter = LossMeter()
    found = [meter.add(step, {"loss": DeviceLoss(torch.nan if step == 20 else 1.0)}) for step in range(40)]
    assert found == [None] * 31 + [20] + [None] * 8
    assert meter.find_bad() is None


CONFIG = TrainConfig(epochs=1, batch_size=16, tensorboard=True)


def test_records_are_written(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    history = Trainer(
        small_model(), Classification(), packed(), packed(16), CONFIG, Run(tmp_path, vars(CONFIG))
    ).fit()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    written = events.Scalars("loss/validation")
    assert [e.step for e in written] == history.column("step").tolist()
    assert [e.value for e in written] == pytest.approx(history.val_loss.tolist(), rel=1e-6)


def test_absent_tensorboard_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingDependencyError, match=r"omnilearn_lab\[tensorboard\]"):
        TensorBoardLog(tmp_path)


@pytest.mark.parametrize("line", ['{"kind": "train", "step": Infinity}', '{"kind": "train", "step": []}'])
def test_a_step_that_is_no_number_names_its_line(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text(f'{line}\n{{"kind": "train", "step": 1}}\n')
    with pytest.raises(TrainingError, match="line 1 is no record"):
        History.load(tmp_path)


@pytest.mark.parametrize("loss", ['"low"', "[[]]", "[0.5]"])
def test_a_column_that_is_no_number_is_named(tmp_path, loss):
    (tmp_path / "metrics.jsonl").write_text(f'{{"kind": "train", "step": 1, "loss": {loss}}}\n')
    with pytest.raises(TrainingError, match="'loss' of .* is no number everywhere"):
        History.load(tmp_path).column("loss", "train")
