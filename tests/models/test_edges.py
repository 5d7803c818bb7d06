"""Neighbour search and edge convolution against plain loops and finite differences."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omnilearn_lab.models import edges
from omnilearn_lab.models.edges import EdgeConvolution, nearest_neighbors
from omnilearn_lab.models.packing import Packing
from torch.nn import functional


def packing_of(counts):
    return Packing.build(torch.tensor([0, *torch.tensor(counts).cumsum(0).tolist()]))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(2, 5), st.integers(0, 1000))
def test_neighbors_are_the_nearest_others_of_the_same_jet(counts, n_columns, seed):
    packing = packing_of(counts)
    points = torch.randn(sum(counts), n_columns, generator=torch.Generator().manual_seed(seed))
    found = nearest_neighbors(points, packing, n_neighbors=10)
    start = 0
    for n in counts:
        distance = torch.cdist(points[start : start + n].double(), points[start : start + n].double())
        for i in range(n):
            order = [j for j in distance[i].argsort().tolist() if j != i][:10]
            used = found.share[start + i] > 0
            assert sorted((found.rows[start + i][used] - start).tolist()) == sorted(order)
            expected = [1 / max(len(order), 1)] * len(order)
            assert found.share[start + i][used].tolist() == pytest.approx(expected)
            assert (found.rows[start + i][~used] == start + i).all()
        start += n


def test_a_particle_is_no_neighbor_of_itself_when_points_coincide():
    found = nearest_neighbors(torch.zeros(4, 2), packing_of([4]), n_neighbors=2)
    assert (found.rows != torch.arange(4)[:, None]).all()
    assert (found.share == 0.5).all()


def test_edge_convolution_equals_the_unfactorised_sum():
    torch.manual_seed(0)
    packing, rows = packing_of([1, 3, 14]), torch.randn(18, 5, dtype=torch.float64)
    layer = EdgeConvolution(5, 6).double()
    found = nearest_neighbors(rows[:, :2], packing, n_neighbors=4)
    center = rows[:, None].expand(-1, 4, -1)
    edges_in = torch.cat([rows[found.rows] - center, center], -1)
    edges_out = functional.gelu(layer.second(functional.gelu(layer.first(edges_in))))
    expected = (edges_out * found.share[..., None].double()).sum(1)
    # shares are float32 numbers, as neighbour counts need no more
    torch.testing.assert_close(layer(rows, found), expected, rtol=1e-6, atol=1e-9)
    assert (layer(rows, found)[0] == 0).all(), "a single particle has no edges"


def test_gradients_of_the_chunked_sum_match_finite_differences(monkeypatch):
    torch.manual_seed(1)
    monkeypatch.setattr(edges, "CHUNK_NUMBERS", 100)  # several chunks
    packing = packing_of([1, 3, 9])
    found = nearest_neighbors(torch.randn(13, 2), packing, n_neighbors=4)
    shapes = [(13, 6), (13, 6), (3, 6), (3,)]
    values = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(lambda *v: edges._EdgeMean.apply(*v, found), values)
