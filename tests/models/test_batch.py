"""Packed batches: shapes, padding there and back, errors."""

import pytest
import torch
from omnilearn_lab.errors import JetsError
from omnilearn_lab.models import Batch


def make(counts):
    offsets = torch.tensor([0, *torch.tensor(counts).cumsum(0).tolist()])
    rows = torch.randn(sum(counts), 13)
    return Batch(rows, rows[:, :2], offsets, torch.randn(len(counts), 4))


def test_padding_there_and_back():
    batch = make([3, 1, 20])
    padded = batch.to_padded(batch.features, fill=0.0, length=25)
    mask = torch.arange(25) < batch.counts[:, None]
    again = Batch.from_padded(padded, mask, jet=batch.jet)
    assert padded.shape == (3, 25, 13) and (padded[~mask] == 0).all()
    assert torch.equal(again.features, batch.features) and torch.equal(again.offsets, batch.offsets)
    assert batch.to_padded(batch.features[:, 0], fill=-1.0).shape == (3, 20)


def test_stack_puts_jets_one_behind_the_other():
    first, second = make([3, 1]), make([2])
    both = Batch.stack([first, second])
    assert both.offsets.tolist() == [0, 3, 4, 6]
    assert torch.equal(both.features, torch.cat([first.features, second.features]))
    assert both.label is None and len(both) == 3


def test_blocks_waste_few_slots_and_hold_every_row_once():
    packing = make([1, 8, 9, 45, 48, 128]).packing
    assert sorted(packing.slot_rows[packing.slot_mask].tolist()) == list(range(packing.n_rows))
    assert [(group.n_jets, group.length) for group in packing.groups] == [(2, 8), (1, 16), (2, 48), (1, 128)]
    assert [group.is_full for group in packing.groups] == [False, False, False, True]


def test_moving_keeps_values_and_plan():
    batch = make([2, 5])
    moved = batch.to("cpu")
    assert torch.equal(moved.features, batch.features)
    assert torch.equal(moved.packing.row_slots, batch.packing.row_slots)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"offsets": torch.tensor([0, 3, 3, 24])}, "jet 1 has no particle"),
        ({"offsets": torch.tensor([0, 3, 4, 23])}, "offsets must run"),
        ({"points": torch.zeros(3, 2)}, "points has 3 entries"),
        ({"label": torch.zeros(2)}, "label has 2 entries"),
    ],
)
def test_inconsistent_batches_are_errors(changes, message):
    batch = make([3, 1, 20])
    with pytest.raises(JetsError, match=message):
        batch.replace(**changes)
