import pytest
from omnilearn_lab.features import pet_v2_batch
from omnilearn_lab.models import PETv2, PETv2Config
from omnilearn_lab.tasks.pretraining.size_costs import count_parameters, network_costs


def test_counts_are_the_published_ones():
    assert count_parameters("small", n_classes=2) == 2_708_917
    pretraining = {"mode": "pretrain", "n_species": 9, "n_extra": 4, "n_classes": 210}
    assert count_parameters("medium", **pretraining) == 59_911_461


def test_count_is_that_of_the_real_network():
    assert count_parameters("tiny") == sum(PETv2(PETv2Config.named("tiny")).n_parameters.values())


def test_costs_are_measured(jets):
    table = network_costs(pet_v2_batch(jets[:8], use_pid=False), ("tiny",))
    row = table.loc["tiny"]
    assert row["parameters [M]"] == pytest.approx(count_parameters("tiny") / 1e6)
    assert row["training [ms per jet]"] > row["inference [ms per jet]"] > 0
