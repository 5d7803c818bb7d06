"""Scores of generated jets and comparisons of generators."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from omnilearn_lab.errors import ConfigError, JetsError
from omnilearn_lab.metrics.distances import FpdConfig, KpdConfig, Sampling
from omnilearn_lab.models import PET, PETConfig, SamplerConfig, save_checkpoint
from omnilearn_lab.observables import observables
from omnilearn_lab.published import published_results
from omnilearn_lab.tasks.common.comparison import ComparisonSettings
from omnilearn_lab.tasks.generation import (
    DistillConfig,
    GeneratorData,
    GeneratorSettings,
    JetGenerationConfig,
    StudyConfig,
    beside_published,
    compare_generators,
    distill,
    generation_scores,
    generation_trajectory,
    over_floor,
    sampler_study,
    scores_by_class,
)
from omnilearn_lab.tasks.generation.scores import ScoresConfig, relative_cloud, relative_mass
from omnilearn_lab.training import TrainConfig
from tests.conftest import random_jets

FEW = ScoresConfig(Sampling(300, 3))


def wider(jets, factor):
    """The same jets with all particles further from the axis."""
    from dataclasses import replace

    angles = {name: (jets.particles[name] * factor).astype(np.float32) for name in ("deta", "dphi")}
    return replace(jets, particles=dict(jets.particles) | angles)


def test_mass_is_that_of_the_sum():
    jets = random_jets(30)
    found = relative_mass(jets) * jets.jet["pt"]
    np.testing.assert_allclose(found, observables(jets, ["mass"])["mass"], rtol=1e-3, atol=1e-2)


def test_cloud_is_padded_and_relative():
    jets = random_jets(10)
    cloud = relative_cloud(jets)
    assert cloud.shape == (10, jets.counts.max(), 3)
    total = cloud[..., 2].sum(axis=1) * jets.jet["pt"]
    np.testing.assert_allclose(total, np.add.reduceat(jets.particles["pt"], jets.offsets[:-1]), rtol=1e-5)


def test_truth_against_truth_is_below_changed_jets():
    reference, other = random_jets(300, seed=1), random_jets(300, seed=2)
    floor = generation_scores(reference, other, config=FEW).to_dict()
    far = generation_scores(reference, wider(other, 1.5), config=FEW).to_dict()
    assert set(floor) == {"w1_mass", "w1_particles", "w1_efp"}
    assert all(far[name] > 2 * floor[name] for name in floor), (floor, far)


def test_all_metrics_on_request():
    config = ScoresConfig(
        Sampling(50, 2), True, FpdConfig(20, 40, 3, 2), KpdConfig(2, 30), coverage=Sampling(10, 2)
    )
    jets = random_jets(60, mean=5)
    found = generation_scores(jets, wider(jets, 1.2), config=config)
    names = ["w1_mass", "w1_particles", "w1_efp", "fpd", "kpd", "coverage", "mmd"]
    assert list(found.to_dict()) == names
    assert all(len(found.results()[name]) == 2 for name in names)


def test_scores_by_class():
    jets = random_jets(80, mean=5)
    found = scores_by_class(jets, jets, config=FEW)
    assert list(found) == ["class 0", "class 1"]
    assert found["class 0"].n_jets == int((jets.label == 0).sum())
    with pytest.raises(JetsError, match="class 'class 1' has .* and 0 generated"):
        scores_by_class(jets, jets[jets.label == 0])


def test_no_jets_is_an_error():
    jets = random_jets(5)
    with pytest.raises(JetsError, match="no generated jets"):
        generation_scores(jets, jets[:0])


SHORT = TrainConfig(epochs=1, batch_size=16, learning_rate=1e-3, validations_per_epoch=1)
FEWER = ScoresConfig(Sampling(40, 2))


@pytest.fixture(scope="module")
def data():
    return GeneratorData(*(random_jets(n, seed=s, mean=5) for s, n in enumerate((48, 16, 30, 30))))


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    sizes = {"width": 16, "n_layers": 1, "n_heads": 2, "n_neighbors": 3, "layer_scale": 0.1}
    save_checkpoint(PET(PETConfig(**sizes)), path, card={})
    few = SamplerConfig(n_steps=2)
    generation = JetGenerationConfig(
        kinematics=SHORT, kinematics_width=16, sampler=few, kinematics_sampler=few
    )
    compare = ComparisonSettings(str(path), (1, 2), scratch=SHORT, finetuned=SHORT)
    return GeneratorSettings(compare, generation, FEWER)


@pytest.fixture(scope="module")
def comparison(data, config, tmp_path_factory):
    return compare_generators(data, config, workers=1, directory=tmp_path_factory.mktemp("runs"))


def test_every_seed_and_kind_is_another_training(comparison):
    losses = [r.generator.histories["particles"].val_loss[-1] for k in ("scratch", "finetuned")
              for r in comparison.of(k)]  # fmt: skip
    assert len(set(losses)) == 4
    kinematics = {r.generator.histories["kinematics"].val_loss[-1] for r in comparison.of("scratch")}
    assert len(kinematics) == 1


def test_variants_differ_in_their_conditions(comparison, data):
    result = comparison.of("finetuned")[0]
    np.testing.assert_array_equal(result.jets["ideal"].jet["pt"], data.reference.jet["pt"])
    assert not np.array_equal(result.jets["two-stage"].jet["pt"], data.reference.jet["pt"])
    np.testing.assert_array_equal(result.jets["two-stage"].label, data.reference.label)


def test_record_has_a_value_per_seed_and_the_published_numbers(comparison):
    record = comparison.record(published_results("jetnet30").select(("PET",), subset="t"))
    assert set(record.metrics) == {
        f"{m}[{v}]" for m in ("w1_mass", "w1_particles", "w1_efp") for v in ("ideal", "two-stage")
    } | {"best_val_loss"}
    assert all(len(values) == 2 for kinds in record.metrics.values() for values in kinds.values())
    assert record.n_train == 48 and "PET" in record.published
    assert record.smaller_is_better == list(record.metrics)
    change = comparison.gain("w1_mass[ideal]").difference
    assert record.gains["w1_mass[ideal]"].difference == pytest.approx(change)


def test_distances_over_the_floor(comparison, data):
    floor = generation_scores(data.reference, data.floor, config=FEWER)
    over = over_floor(comparison, floor)
    assert set(over) == {f"{k}, {v}" for k in ("scratch", "fine-tuned") for v in ("ideal", "two-stage")}
    first = comparison.values("scratch", "w1_mass[ideal]")[0]
    assert over["scratch, ideal"]["W₁-M"][0] == pytest.approx(first / floor.w1_mass.value)


@pytest.mark.slow
def test_processes_give_the_same_numbers(data, config, comparison):
    again = compare_generators(data, config, workers=2, progress=False)
    for kind in ("scratch", "finetuned"):
        for metric in ("best_val_loss", "w1_mass[ideal]"):
            np.testing.assert_allclose(again.values(kind, metric), comparison.values(kind, metric), rtol=1e-3)


def test_unknown_variant_is_named():
    with pytest.raises(ConfigError, match="did you mean 'ideal'"):
        GeneratorSettings(variants=("idea",))


def test_study_measures_cost_and_deviation(comparison, data):
    generator = comparison.of("finetuned")[0].generator
    ways = [SamplerConfig(1), SamplerConfig(4), SamplerConfig(4, "published"), SamplerConfig(2, guidance=1.0)]
    config = StudyConfig(FEWER, floor=data.floor, converged=SamplerConfig(16))
    study = sampler_study(generator, data.reference, ways, config=config, workers=1)
    assert [p.n_evaluations for p in study.points] == [3, 12, 8, 12, 48]
    deviations = [p.deviation for p in study.points]
    assert deviations[-1] == 0 and deviations[1] < deviations[0]
    assert all(p.milliseconds > 0 for p in study.points)
    assert study.curves("w1_mass")["ralston3"][0] == [3, 12, 12, 48]
    assert set(study.by_guidance()) == {"w = 0", "w = 1"}
    assert len(study.to_frame()) == 5 and {"steps", "W₁-M"} <= set(study.to_frame().columns)
    cheapest = study.cheapest(study.point("published", 8))
    assert all(p.n_evaluations <= 8 for p in cheapest.values())
    lines = study.judged(study.point("published", 8)).splitlines()
    assert [line.split(":")[0] for line in lines] == ["W₁-M", "W₁-P", "W₁-EFP"]
    high, low = (replace(study.floor.w1_mass, value=value, uncertainty=0.0) for value in (1e3, 0.0))
    words = [
        replace(study, floor=replace(study.floor, w1_mass=floor)).judged(study.point("published", 8))
        for floor in (high, low)
    ]
    assert "ranks no sampler" in words[0].splitlines()[0] and "times fewer" in words[1].splitlines()[0]
    with pytest.raises(ConfigError, match="known: .*published 8"):
        study.point("published", 600)


def test_students_are_sampled_in_their_own_way(comparison, data):
    teacher = comparison.of("finetuned")[0].generator
    before = [p.clone() for p in teacher.particles.parameters()]
    config = DistillConfig(2, training=replace(SHORT, epochs=4))
    student = distill(teacher, data.train, data.validation, config=config)
    assert student.config.sampler == SamplerConfig(2, "euler")
    assert all(torch.equal(a, b) for a, b in zip(before, teacher.particles.parameters(), strict=True))
    losses = student.histories["particles"].val_loss
    assert losses.min() < losses[0]
    study = sampler_study(
        {"": teacher, "student": student}, data.reference, [SamplerConfig(2, "euler")],
        config=StudyConfig(FEWER), workers=1,
    )  # fmt: skip
    assert study.point("student euler", 2).deviation != study.point("euler", 2).deviation


def test_study_needs_a_nameless_generator(comparison, data):
    with pytest.raises(ConfigError, match="named ''"):
        sampler_study({"a": comparison.of("scratch")[0].generator}, data.reference, [])


def test_steps_below_one_are_refused():
    with pytest.raises(ConfigError, match="greater than or equal to 1"):
        DistillConfig(0)


def test_own_rows_stand_below_the_published_ones(comparison, data):
    table = published_results("jetnet30").select(("PET",))
    score = generation_scores(data.reference, data.floor, config=FEWER)
    joined = beside_published(table, {"here": dict.fromkeys("gqtwz", score)})
    found = joined.number("here", "w1_mass", subset="t")
    assert found.value == pytest.approx(score.w1_mass.value * 1e3, rel=1e-6)


def test_trajectory_goes_from_noise_to_the_generated_jets(comparison, data):
    generator = comparison.of("finetuned")[0].generator
    few = data.reference[:3]
    path = generation_trajectory(generator.particles, few, config=SamplerConfig(2))
    assert path.times == (1.0, 0.5, 0.0)
    assert path.particles(1).shape == (3, few.counts[1], 3)
    made = generator.sample_like(few, sampler=SamplerConfig(2))
    np.testing.assert_allclose(path.jets[-1].particles["pt"], made.particles["pt"], rtol=1e-3, atol=1e-3)
