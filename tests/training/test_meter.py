import torch
from omnilearn_lab.training.meter import LossMeter


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
