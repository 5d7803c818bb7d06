"""Pretraining on a small scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.features import pet_v2_batch
from omnilearn_lab.models import PETv2, PETv2Config
from omnilearn_lab.tasks.common.classification import ClassifierData
from omnilearn_lab.tasks.pretraining import (
    PretrainConfig,
    count_parameters,
    network_costs,
    noised_particles,
    pretrain_sizes,
)
from omnilearn_lab.tasks.pretraining import study as module
from omnilearn_lab.tasks.pretraining.study import (
    ClassStudySettings,
    choose_classes,
    join_classes,
    pretrain_body,
    study_classes,
)
from omnilearn_lab.training import TrainConfig
from tests.conftest import random_jets


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


QUICK = TrainConfig(epochs=1, batch_size=16, learning_rate=1e-3, validations_per_epoch=1)
BASE = {"width": 16, "n_layers": 1, "n_head_layers": 1, "n_heads": 2, "n_neighbors": 3}
SETTINGS = ClassStudySettings("tiny", BASE, {}, 40, (1, 2), QUICK, QUICK, QUICK)


def test_chosen_classes_are_balanced_and_labelled_in_order():
    jets = random_jets(300, n_classes=4)
    chosen = choose_classes(jets, ("class 3", "class 1"), 80)
    assert chosen.class_names == ("class 3", "class 1")
    assert np.bincount(chosen.label).tolist() == [40, 40]
    mine = set(jets[jets.label == 3].jet["mass"].tolist())
    assert set(chosen[chosen.label == 0].jet["mass"].tolist()) <= mine


def test_too_few_jets_and_unknown_classes_are_named():
    jets = random_jets(20, n_classes=2)
    with pytest.raises(ConfigError, match="load more jets"):
        choose_classes(jets, ("class 0", "class 1"), 400)
    with pytest.raises(ConfigError, match="no class 'clas 0'"):
        choose_classes(jets, ("clas 0",), 1)


def test_joined_jets_are_one_more_class():
    both = join_classes(random_jets(5), random_jets(3, seed=1))
    assert both.class_names == ("class 0", "class 1", "data")
    assert both.label[5:].tolist() == [2, 2, 2]


def test_pretraining_changes_the_body_by_the_seed_alone():
    jets = pet_v2_batch(random_jets(60, mean=6.0, n_classes=3))
    config = PETv2Config.named("tiny", **BASE, mode="pretrain", n_classes=3)
    first, again = (pretrain_body(jets, config, QUICK) for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    torch.manual_seed(QUICK.seed)
    start = PETv2(config).body.state_dict()
    changed = [name for name in first if not torch.equal(first[name], start[name])]
    assert len(changed) > len(first) / 2


def test_study_trains_scratch_and_every_subset():
    splits = {s: random_jets(40, seed=i, mean=6.0) for i, s in enumerate(("train", "val", "test"))}
    data = ClassifierData.from_jets(splits, inputs="pet_v2", use_pid=False)
    jets = random_jets(60, seed=9, mean=6.0, n_classes=3)
    subsets = {"two": choose_classes(jets, ("class 0", "class 1"), 30), "three": jets}
    comparison = study_classes(subsets, data, SETTINGS, workers=1, progress=False)
    assert list(comparison.results) == ["scratch", "two", "three"]
    assert all(len(runs) == 2 for runs in comparison.results.values())
    scores = [runs[0].probabilities for runs in comparison.results.values()]
    assert not np.allclose(scores[0], scores[1]) and not np.allclose(scores[1], scores[2])
