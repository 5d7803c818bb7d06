"""The plan of blocks: rows to slots and back, leads, tokens, pairs, in both layouts."""

import numpy as np
import pytest
import torch
from omnilearn_lab.models.packing import PADDED_LENGTHS, Packing, padded_length

OFFSETS = torch.tensor([0, 9, 10, 15, 32])
COUNTS = [9, 1, 5, 17]


@pytest.fixture(params=[False, True], ids=["groups", "one block"])
def packing(request):
    return Packing.build(OFFSETS, one_block=request.param)


def test_gathers_between_rows_and_slots_have_exact_gradients(packing):
    rows = torch.randn(32, 2, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(len(packing.slot_rows), 2, dtype=torch.float64) * packing.slot_mask[:, None]

    def there_and_back(values):
        return packing.from_slots(packing.to_slots(values) * weights)

    assert torch.equal(packing.from_slots(packing.to_slots(rows)), rows)
    assert torch.autograd.gradcheck(there_and_back, (rows,))


def test_sums_and_repetitions_are_those_of_the_jets(packing):
    rows = torch.arange(32.0)[:, None]
    sums = torch.stack([rows[a:b].sum(0) for a, b in zip(OFFSETS[:-1], OFFSETS[1:], strict=True)])
    assert torch.equal(packing.sum_rows(rows), sums)
    assert torch.equal(packing.slotted.sum_rows(packing.to_slots(rows)), sums)
    assert torch.equal(packing.from_slots(packing.slotted.to_rows(sums)), packing.to_rows(sums))
    assert packing.first_rows.tolist() == OFFSETS[:-1].tolist()
    total = packing.slotted.sum_rows(packing.slotted.shares[:, None])
    torch.testing.assert_close(total, torch.ones(4, 1))


def test_leads_stand_in_front_of_their_jet(packing):
    rows, leads = torch.arange(32.0), torch.tensor([[100.0 + i, 200.0 + i] for i in range(4)])
    wider = packing.with_leads(2)
    slots = packing.join_leads(leads, packing.to_slots(rows))
    parts = zip(wider.split(slots), wider.masks, strict=True)
    jets = [row[mask].tolist() for part, masks in parts for row, mask in zip(part, masks, strict=True)]
    order = range(4) if packing.order is None else packing.order.tolist()
    for jet, held in zip(order, jets, strict=True):
        expected = [100.0 + jet, 200.0 + jet, *range(int(OFFSETS[jet]), int(OFFSETS[jet + 1]))]
        assert held == expected
    assert wider.counts.tolist() == [n + 2 for n in COUNTS]


def test_a_token_is_one_more_row(packing):
    rows, tokens = torch.arange(32.0)[:, None], 100 + torch.arange(4.0)[:, None]
    for plan, values in ((packing, rows), (packing.slotted, packing.to_slots(rows))):
        wider = plan.with_token
        firsts = packing.in_jet_order(wider.firsts(plan.join_token(values, tokens)))
        assert torch.equal(firsts, tokens)
        sums = wider.sum_rows(plan.join_token(values, tokens))
        assert torch.equal(sums, packing.sum_rows(rows) + tokens)


def test_every_pair_is_counted_once_and_has_two_places(packing):
    seen = set()
    for group, pairs, mask in zip(packing.groups, packing.pairs, packing.masks, strict=True):
        assert len(pairs.first) == group.n_pairs
        seen |= set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
        both = (pairs.table < group.n_pairs).sum().item()
        assert both == 2 * group.n_pairs
        assert torch.equal(pairs.table.flatten()[pairs.places], torch.arange(group.n_pairs))
        assert torch.equal(pairs.table, pairs.table.transpose(1, 2))
        assert (pairs.table[~mask] == group.n_pairs).all()
    expected = {
        (i, j)
        for a, b in zip(OFFSETS[:-1], OFFSETS[1:], strict=True)
        for i in range(a, b)
        for j in range(a, i)
    }
    assert {(max(p), min(p)) for p in seen} == {(int(i), int(j)) for i, j in expected}


def test_stacked_plans_are_the_plan_of_all_jets():
    for one_block in (False, True):
        one = Packing.plan(COUNTS, one_block=one_block)
        both, whole = Packing.stack([one, one]), Packing.plan(2 * COUNTS, one_block=one_block)
        assert both.groups == whole.groups
        for name in ("jet", "counts", "slot_rows", "slot_mask", "row_slots"):
            assert torch.equal(getattr(both, name), getattr(whole, name)), name
    other = Packing.plan([40, 3], one_block=True)
    assert Packing.stack([other, Packing.plan(COUNTS, one_block=True)]).multiplicities.tolist() == [
        40,
        3,
        *COUNTS,
    ]


def test_blocks_of_an_accelerator_have_few_lengths():
    lengths = {Packing.plan([n], one_block=True).groups[0].length for n in range(1, 257)}
    assert lengths == set(PADDED_LENGTHS)
    assert [padded_length(n) for n in (257, 1000)] == [384, 1024]


def test_a_few_long_jets_do_not_pad_the_others():
    counts = [3, 1, 5, 150, 2, 4, 7, 6]
    packing = Packing.plan(counts, one_block=True)
    assert [(group.n_jets, group.length) for group in packing.groups] == [(7, 16), (1, 160)]
    assert len(Packing.plan([50] * 9 + [128], one_block=True).groups) == 1
    assert Packing.stack([packing, packing]).multiplicities.tolist() == 2 * counts


def test_used_places_of_neighbours_come_first():
    edges = Packing.plan([1, 3, 9]).edges(4)
    rows, places = np.divmod(edges.numpy(), 4)
    assert np.bincount(rows, minlength=13).tolist() == [0] + [2] * 3 + [4] * 9
    assert places.max() == 3
