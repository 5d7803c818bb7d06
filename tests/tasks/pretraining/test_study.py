import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.features import pet_v2_batch
from omnilearn_lab.models import PETv2, PETv2Config
from omnilearn_lab.tasks.pretraining import (
    PretrainConfig,
    count_parameters,
    network_costs,
    noised_particles,
    pretrain_sizes,
)
from omnilearn_lab.tasks.pretraining import study as module


def test_time_zero_is_the_jet_and_time_one_forgets_it(jets):
    some = jets[jets.counts >= 10][:2].truncate(10)
    one, other = (noised_particles(some[i : i + 1], (0.0, 0.5, 1.0)) for i in range(2))
    assert one.shape == (3, 10, 3)
    assert one[0, :, 0] == pytest.approx(some[:1].particles["deta"], abs=1e-4)
    assert one[0, :, 1] == pytest.approx(some[:1].particles["dphi"], abs=1e-4)
    assert np.abs(one[0, :, 0] - other[0, :, 0]).max() > 0.05
    assert one[2, :, 0] == pytest.approx(other[2, :, 0], abs=1e-3)


def test_noise_depends_on_the_seed_only(jets):
    first, again, another = (noised_particles(jets[:1], (0.5,), seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, another)


def test_noise_of_several_jets_is_refused(jets):
    with pytest.raises(ConfigError, match="2 jets were given"):
        noised_particles(jets[:2], (0.5,))


def test_sizes_must_differ(tmp_path):
    with pytest.raises(ConfigError, match="only once"):
        pretrain_sizes(PretrainConfig(), (100, 100), tmp_path)


def test_published_sizes_are_never_a_stream_of_all_jets(tmp_path, monkeypatch):
    config = PretrainConfig(source="published", streaming="always")
    monkeypatch.setattr(module, "fits_in_memory", lambda n: n <= 200)
    monkeypatch.setattr(module, "run_jobs", lambda function, jobs, **how: jobs)
    for n, (found, directory) in pretrain_sizes(config, (100, 200), tmp_path).items():
        assert (found.n_train, found.streaming, directory) == (n, "never", tmp_path / f"{n}-jets")
    with pytest.raises(ConfigError, match="201 jets do not fit into memory"):
        pretrain_sizes(config, (100, 201), tmp_path)


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
