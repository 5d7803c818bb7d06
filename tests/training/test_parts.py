import pytest
import torch
from omnilearn_lab.training.parts import Extent, PartDraws

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
