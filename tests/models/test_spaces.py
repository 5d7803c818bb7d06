"""PET v2 in other spaces than the plane of eta and phi: dimensions, periods, pair features, regressions."""

import itertools

import pytest
import torch
from omnilearn_lab.errors import CheckpointError, ConfigError, TrainingError
from omnilearn_lab.models import Batch, PETv2, PETv2Config
from omnilearn_lab.models.checkpoints import transfer
from omnilearn_lab.models.edges import Space, nearest_neighbors
from omnilearn_lab.models.kernels import plain

HALOES = {"n_features": 3, "n_coordinates": 3, "pairs": "space", "period": 2.0}
MOLECULES = {"n_features": 5, "n_coordinates": 3, "pairs": "molecule"}
SMALL = {"width": 16, "n_layers": 1, "n_heads": 2, "n_head_layers": 1, "n_neighbors": 4}


def network(*, dtype=torch.float32, **options):
    torch.manual_seed(1)
    model = PETv2(PETv2Config(**SMALL | {"mode": "regression"} | options)).to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # also what starts at zero
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def points(sizes=(9, 6), n_features=3, seed=2):
    rows = torch.rand(sum(sizes), n_features, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    offsets = torch.tensor([0, *itertools.accumulate(sizes)])
    return Batch(rows, rows[:, :2], offsets, torch.zeros(len(sizes), 0))


def moved(batch, step):
    return batch.replace(features=(batch.features + step + 1) % 2 - 1)


def test_neighbours_of_a_periodic_box_are_those_of_the_nearest_images():
    batch = points((12,))
    images = torch.tensor(list(itertools.product((-2.0, 0.0, 2.0), repeat=3)))
    copies = batch.features[None, :, None] + images - batch.features[:, None, None]  # (12, 12, 27, 3)
    distance = copies.norm(dim=-1).amin(-1).fill_diagonal_(torch.inf)
    nearest = nearest_neighbors(batch.features, batch.packing, n_neighbors=3, in_order=True, period=2.0)
    assert torch.equal(nearest.rows, distance.argsort(1)[:, :3])
    assert torch.allclose(
        Space(3, 2.0).distance(batch.features[:, None], batch.features)[0].fill_diagonal_(torch.inf), distance
    )


@pytest.mark.parametrize("use_pair_bias", [True, False])
def test_a_torus_has_no_origin_where_only_differences_count(use_pair_bias):
    batch, step = points(), torch.tensor([0.7, -1.2, 0.31])
    model = network(**HALOES, use_positions=False, use_pair_bias=use_pair_bias, use_local_pairs=True)
    assert torch.allclose(model.classify(moved(batch, step)).logits, model.classify(batch).logits, atol=2e-5)
    seeing = network(**HALOES, use_pair_bias=use_pair_bias)
    change = seeing.classify(moved(batch, step)).logits - seeing.classify(batch).logits
    assert change.abs().max() > 1e-3


@pytest.mark.parametrize("use_pair_bias", [True, False])
def test_where_only_distances_count_turning_changes_nothing(use_pair_bias):
    batch = points(n_features=5)
    batch = batch.replace(features=torch.cat([batch.features[:, :3], batch.features[:, 3:].abs() + 0.5], 1))
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))[0]
    turned = batch.replace(features=torch.cat([batch.features[:, :3] @ turn, batch.features[:, 3:]], 1))
    blind = {"use_positions": False, "use_directions": False, "use_pair_bias": use_pair_bias}
    model = network(**MOLECULES, **blind, use_local_pairs=True)
    assert torch.allclose(model.classify(turned).logits, model.classify(batch).logits, atol=2e-5)
    for seeing in ({"use_positions": True}, {"use_directions": True}):
        model = network(**MOLECULES, **blind | seeing, use_local_pairs=True)
        assert (model.classify(turned).logits - model.classify(batch).logits).abs().max() > 1e-3


def test_points_in_a_plane_of_the_third_coordinate_count():
    batch = points((8,))
    flat = batch.replace(features=batch.features * torch.tensor([1.0, 1.0, 0.0]))
    shifted = flat.features.clone()
    shifted[0, 0] += 0.3
    model = network(**HALOES)
    change = model.classify(flat.replace(features=shifted)).logits - model.classify(flat).logits
    assert change.abs().max() > 1e-3


def test_the_third_coordinate_decides_who_is_near():
    model = network(**{**HALOES, "period": None}, use_positions=False, use_pair_bias=False)
    batch = points((30,))
    stretched = batch.features * torch.tensor([1.0, 1.0, 40.0])
    nearest = nearest_neighbors(stretched, batch.packing, n_neighbors=4, in_order=True).rows
    assert not torch.equal(
        nearest, nearest_neighbors(batch.features[:, :2], batch.packing, n_neighbors=4).rows
    )
    far = stretched.clone()
    far[0] += torch.tensor([0.0, 0.0, 1000.0])
    alone = model.embed(batch.replace(features=far)) - model.embed(batch.replace(features=stretched))
    assert alone[0].abs().max() > 1e-3


@pytest.mark.parametrize("options", [HALOES, MOLECULES], ids=["space", "molecule"])
def test_outputs_do_not_depend_on_order_or_company(options):
    batch = points(n_features=options["n_features"])
    batch = batch.replace(features=torch.cat([batch.features[:, :3], batch.features[:, 3:].abs() + 0.5], 1))
    model = network(**options, mode="particle_regression", n_particle_classes=3)
    order = torch.cat([torch.randperm(9), 9 + torch.randperm(6)])
    both = model.regress_particles(batch)
    assert both.shape == (15, 3)
    shuffled = model.regress_particles(batch.replace(features=batch.features[order]))
    assert torch.allclose(shuffled, both[order], atol=2e-5)
    first = Batch(batch.features[:9], batch.points[:9], torch.tensor([0, 9]), torch.zeros(1, 0))
    assert torch.allclose(model.regress_particles(first), both[:9], atol=2e-5)


@pytest.mark.parametrize("options", [HALOES, MOLECULES], ids=["space", "molecule"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_plain_path_gives_the_same_and_is_differentiable_twice(options, dtype):
    batch = points(n_features=options["n_features"])
    rows = torch.cat([batch.features[:, :3], batch.features[:, 3:].abs() + 0.5], 1).to(dtype)
    batch = batch.replace(features=rows)
    model = network(dtype=dtype, **options, mode="particle_regression", n_particle_classes=1)

    def energy(features):
        return model.regress_particles(batch.replace(features=features)).sum()

    fast = energy(rows)
    with plain():
        rows.requires_grad_()
        force = torch.autograd.grad(energy(rows), rows, create_graph=True)[0]
        assert torch.allclose(energy(rows), fast, rtol=1e-4, atol=1e-5)
        slopes = torch.autograd.grad(
            force.square().sum(), [rows, *model.body.parameters()], allow_unused=True
        )
    assert slopes[0].isfinite().all() and slopes[0].abs().max() > 0
    if dtype == torch.float64:  # against a finite difference along a random direction
        direction, step = torch.randn_like(rows), 1e-5
        with plain():
            both = [
                torch.autograd.grad(energy(x), x)[0].square().sum()
                for x in (rows.detach() + s * direction for s in (step, -step))
                if x.requires_grad_() is x
            ]
        numerical = (both[0] - both[1]) / (2 * step)
        assert (slopes[0] * direction).sum().item() == pytest.approx(numerical.item(), rel=1e-4)


def test_without_the_plain_path_a_second_derivative_is_refused():
    batch = points()
    model = network(**HALOES)
    rows = batch.features.clone().requires_grad_()
    outcome = model.classify(batch.replace(features=rows)).logits.sum()
    with pytest.raises(TrainingError, match="inside .with .*plain"):
        torch.autograd.grad(torch.autograd.grad(outcome, rows, create_graph=True)[0].sum(), rows)


@pytest.mark.parametrize(
    ("mode", "sizes", "share"),
    [
        ("regression", HALOES, 0.99),
        ("particle_regression", HALOES, 0.99),
        ("particle_regression", MOLECULES, 0.98),
    ],
)
def test_jet_weights_fill_all_but_a_per_cent(mode, sizes, share):
    outputs = {"n_particle_classes": 3} if mode == "particle_regression" else {}
    model = PETv2(PETv2Config.named("tiny", mode=mode, **sizes, **outputs, use_pair_bias=False,
                                    use_local_pairs=True))  # fmt: skip
    before = {name: value.clone() for name, value in model.state_dict().items()}
    taken = transfer("v2_tiny", model)
    numbers = sum(taken.taken.values()), sum(taken.new.values())
    assert numbers[0] / sum(numbers) > share
    assert sum(numbers) == sum(value.numel() for value in before.values())
    assert all(torch.equal(before[name], model.state_dict()[name]) for name in taken.new)
    assert {name.split(".")[1] for name in taken.new} == {"embedding", "local", "out"}
    assert f"{numbers[0]:,} of" in str(taken)


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="'collider' are those of eta and phi"):
        PETv2Config(n_coordinates=3, n_features=3)
    with pytest.raises(ConfigError, match="pairs 'spce'.*did you mean 'space'"):
        PETv2Config(pairs="spce")
    with pytest.raises(ConfigError, match="regression of particles"):
        network(**HALOES).regress_particles(points())
    with pytest.raises(CheckpointError, match="'v2_tiny' does not fit"):
        transfer("v2_tiny", network(**HALOES, width=32, n_heads=2))
