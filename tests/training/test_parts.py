import numpy as np
import pytest
import torch
from omnilearn_lab.training import Whole
from omnilearn_lab.training.batches import select
from omnilearn_lab.training.parts import Extent, PartDraws, jet_weights

from tests.models.diffusion.published_losses import balance_weights
from tests.training.helpers import packed

SIZES = [(3, 20), (4, 31), (2, 9)]


@pytest.mark.parametrize("draw", [torch.rand, torch.randn])
@pytest.mark.parametrize("like", [False, True])
@pytest.mark.parametrize("column", [0, 1])
def test_parts_put_together_are_the_whole(draw, like, column):
    def shaped(n):
        if not like:
            return draw(n, 2)
        return getattr(torch, f"{draw.__name__}_like")(torch.zeros(n, 2))

    total = sum(size[column] for size in SIZES)
    torch.manual_seed(3)
    whole = shaped(total)
    parts = []
    for number, size in enumerate(SIZES):
        torch.manual_seed(3)
        with PartDraws(Extent.of(SIZES, number)):
            parts.append(shaped(size[column]))
    assert torch.equal(torch.cat(parts), whole)


def test_the_stream_goes_on_as_for_the_whole():
    torch.manual_seed(3)
    torch.rand(9), torch.randn(60, 3)
    after = torch.rand(1)
    torch.manual_seed(3)
    with PartDraws(Extent.of(SIZES, 1)):
        torch.rand(4), torch.randn(torch.Size([31, 3]))
    assert torch.equal(torch.rand(1), after)


def test_other_draws_and_functions_are_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(5), torch.rand(()), torch.zeros(4)
    torch.manual_seed(3)
    with PartDraws(Extent.of(SIZES, 1)):
        found = torch.rand(5), torch.rand(()), torch.zeros(4)
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


@pytest.fixture
def jets():
    batch = packed(12, n_classes=3)
    origin = torch.arange(len(batch.features)) % 3 - 1
    return batch.replace(weight=torch.linspace(0.5, 2, 12), particle_label=origin)


def test_sums_by_hand(jets):
    whole = Whole.of(jets)
    assert whole.weight == pytest.approx(15.0)
    by_jet = [float(jets.weight[i]) * int(jets.counts[i]) for i in range(12)]
    assert whole.particle_weight == pytest.approx(sum(by_jet))
    expected = [float(jets.weight[jets.label == c].sum()) for c in range(3)]
    np.testing.assert_allclose(whole.class_weight, expected, rtol=1e-6)


def test_parts_add_up_to_the_whole(jets):
    rows = torch.arange(12).split(5)
    total = sum((Whole.of(select(jets, r)) for r in rows[1:]), Whole.of(select(jets, rows[0])))
    for name, value in vars(Whole.of(jets)).items():
        np.testing.assert_allclose(getattr(total, name), value, rtol=1e-12)


def test_processes_tell_each_other_all_sums(jets):
    whole = Whole.of(jets)
    back = Whole.from_vector(whole.to_vector())
    for name, value in vars(whole).items():
        np.testing.assert_array_equal(getattr(back, name), value)


@pytest.mark.parametrize("mean", ["mean", "mean_of_particles", "mean_of_labelled"])
def test_means_of_parts_add_up_and_a_constant_is_its_own_mean(jets, mean):
    whole = Whole.of(jets)
    size = 12 if mean == "mean" else len(jets.features)
    assert getattr(whole, mean)(torch.full((size,), 3.0), jets).item() == pytest.approx(3.0)
    parts = 0.0
    for rows in torch.arange(12).split(5):
        part = select(jets, rows)
        values = jet_weights(part) if mean == "mean" else part.features[:, 0]
        parts += getattr(whole, mean)(values, part).item()
    values = jet_weights(jets) if mean == "mean" else jets.features[:, 0]
    assert parts == pytest.approx(getattr(whole, mean)(values, jets).item(), rel=1e-5)


def test_balance_without_weights_is_the_published_one():
    label = torch.tensor([0, 0, 0, 2, 2, 3])
    batch = packed(6).replace(label=label)
    np.testing.assert_allclose(Whole.of(batch).balance[label], balance_weights(label, 5), rtol=1e-5)


def test_balance_gives_classes_equal_weight(jets):
    weights = jets.weight * Whole.of(jets).balance[jets.label]
    sums = [float(weights[jets.label == c].sum()) for c in range(3)]
    np.testing.assert_allclose(sums, [5.0, 5.0, 5.0], rtol=1e-5)


def test_no_labelled_particle_gives_zero(jets):
    jets = jets.replace(particle_label=torch.full((len(jets.features),), -1))
    assert Whole.of(jets).mean_of_labelled(torch.ones(len(jets.features)), jets).item() == 0
