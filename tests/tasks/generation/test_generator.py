"""The generator of two stages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from omnilearn_lab.errors import ConfigError, JetsError, TrainingError
from omnilearn_lab.features import jets_from_features, pet_batch
from omnilearn_lab.jets import Jets
from omnilearn_lab.models import (
    PET,
    PETConfig,
    PETv2,
    PETv2Config,
    SamplerConfig,
    load_checkpoint,
    save_checkpoint,
)
from omnilearn_lab.tasks.generation import JetGeneration, JetGenerationConfig, generate, generate_like
from omnilearn_lab.tasks.generation.generator import JetDomain, generate_like_v2, generation_trajectory
from omnilearn_lab.training import TrainConfig
from tests.conftest import random_jets
from tests.training.helpers import small_model


def test_features_and_back():
    jets = random_jets(20)
    again = jets_from_features(pet_batch(jets).features.numpy(), jets)
    np.testing.assert_allclose(np.sort(again.particles["pt"]), np.sort(jets.particles["pt"]), rtol=2e-3)
    np.testing.assert_allclose(again.jet["pt"], jets.jet["pt"], rtol=1e-3)
    np.testing.assert_allclose(again.jet["eta"], jets.jet["eta"], atol=1e-3)


def test_extreme_features_give_valid_jets():
    jets = random_jets(3)
    rows = np.full((jets.n_particles, 3), 50.0)
    rows[::2, 2] = -5000.0
    made = jets_from_features(rows, jets)
    assert (made.particles["pt"] > 0).all()
    limit = np.repeat(jets.jet["pt"], jets.counts).max() * (1 + 1e-5)
    assert made.particles["pt"].max() <= limit


def test_not_finite_is_an_error():
    jets = random_jets(3)
    with pytest.raises(JetsError, match="not.*finite"):
        jets_from_features(np.full((jets.n_particles, 3), np.nan), jets)


def test_same_seed_same_jets_whatever_the_batch():
    jets = random_jets(12, mean=6)
    model = small_model()
    first, second, other = (
        generate_like(model, jets, config=SamplerConfig(n_steps=3, seed=s, batch_size=b))
        for s, b in ((1, 12), (1, 5), (2, 12))
    )
    np.testing.assert_allclose(first.jet["mass"], second.jet["mass"], rtol=1e-3, atol=1e-2)
    assert not np.allclose(first.jet["mass"], other.jet["mass"], rtol=1e-3)
    assert first.counts.tolist() == jets.counts.tolist()
    assert first.label.tolist() == jets.label.tolist()
    assert first.provenance["source"] == "generated"


@pytest.mark.parametrize("n_condition", [0, 3])
def test_v2_generates_valid_jets(n_condition):
    jets = random_jets(6, mean=6)
    torch.manual_seed(0)
    sizes = {"mode": "generator", "n_classes": 2, "n_species": 0, "n_condition": n_condition}
    model = PETv2(PETv2Config.named("tiny", **sizes))
    made = generate_like_v2(model, jets, config=SamplerConfig(2, seed=3))
    assert made.counts.tolist() == jets.counts.tolist()
    assert (made.particles["energy"] >= made.particles["pt"] * (1 - 1e-6)).all()
    again = generate_like_v2(model, jets, config=SamplerConfig(2, seed=3))
    np.testing.assert_array_equal(made.jet["pt"], again.jet["pt"])


def test_a_shipped_v2_generates_with_and_without_displacement_and_species():
    """It reads both: it is told those of the jets, or that they are unknown, which is another answer."""
    model, told = load_checkpoint("v2_tiny"), random_jets(4, mean=5)
    hidden = {name: told.particles[name] for name in ("deta", "dphi", "pt", "energy")}
    unknown = Jets.build(hidden, told.offsets, dict(told.jet))
    made = [generate_like_v2(model, jets, config=SamplerConfig(1)) for jets in (told, unknown)]
    assert all(jets.counts.tolist() == told.counts.tolist() for jets in made)
    assert all(np.isfinite(jets.jet["mass"]).all() for jets in made)
    assert not np.allclose(made[0].jet["pt"], made[1].jet["pt"], rtol=1e-3)


def test_other_networks_and_other_classes_are_named():
    jets = random_jets(3)
    for generate_jets, name in (
        (generate_like, "v2_tiny"),
        (generation_trajectory, "v2_tiny"),
        (generate_like_v2, "tiny"),
    ):
        with pytest.raises(ConfigError, match="takes a PET, generate_like_v2 a PETv2; this is a PET"):
            generate_jets(load_checkpoint(name), jets)
    jets.jet["label"][:] = 12
    for generate_jets, name in ((generate_like, "tiny"), (generate_like_v2, "v2_tiny")):
        with pytest.raises(JetsError, match="a class 12, and the network knows 0 to 9"):
            generate_jets(load_checkpoint(name), jets)


SHORT = TrainConfig(epochs=1, batch_size=16, learning_rate=1e-3, validations_per_epoch=1)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    sizes = {"width": 16, "n_layers": 1, "n_heads": 2, "n_neighbors": 3, "layer_scale": 0.1}
    save_checkpoint(PET(PETConfig(**sizes)), path, card={})
    few = SamplerConfig(n_steps=2)
    return JetGenerationConfig(
        str(path),
        particles=SHORT,
        kinematics=SHORT,
        kinematics_width=16,
        sampler=few,
        kinematics_sampler=few,
    )


@pytest.fixture(scope="module")
def jets():
    return random_jets(80, mean=6)


@pytest.fixture(scope="module")
def generator(config, jets):
    return JetGeneration(config).fit(jets)


def test_samples_have_the_asked_classes(generator):
    assert generator.sample(5, label="class 1").label.tolist() == [1] * 5
    assert generator.sample(3, label=0).label.tolist() == [0] * 3
    assert generator.sample(3, label=[0, 1, 0]).label.tolist() == [0, 1, 0]
    assert set(generator.sample(40).label.tolist()) == {0, 1}


def test_samples_stay_in_the_domain_of_the_training_jets(generator, jets):
    made = generator.sample(50)
    for name in ("pt", "eta", "mass"):
        assert made.jet[name].min() >= jets.jet[name].min() * (1 - 1e-6) - 1e-6
        assert made.jet[name].max() <= jets.jet[name].max() * (1 + 1e-6)
    assert made.counts.min() >= jets.counts.min() and made.counts.max() <= jets.counts.max()
    assert np.array_equal(made.jet["multiplicity"], made.counts)


def test_the_seed_fixes_the_jets(generator):
    first, again, other = (generator.sample(6, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.particles["pt"], again.particles["pt"])
    assert not np.array_equal(first.jet["pt"], other.jet["pt"])


def test_the_ideal_variant_keeps_kinematics_multiplicity_and_class(generator, jets):
    made = generator.sample_like(jets)
    for name in ("pt", "eta", "phi", "mass", "label", "multiplicity"):
        np.testing.assert_array_equal(made.jet[name], jets.jet[name])
    assert not np.array_equal(made.particles["pt"], jets.particles["pt"])


def test_saved_generators_give_the_same_jets(generator, tmp_path):
    again = JetGeneration.load(generator.save(tmp_path))
    assert again.config == generator.config and again.domain == generator.domain
    np.testing.assert_allclose(
        again.sample(5).particles["pt"], generator.sample(5).particles["pt"], rtol=1e-5
    )


def test_interrupted_training_goes_on(config, jets, tmp_path):
    first = JetGeneration(config, directory=tmp_path).fit(jets)
    again = JetGeneration(config, directory=tmp_path).fit(jets)
    assert len(again.histories["particles"]) == len(first.histories["particles"])
    np.testing.assert_allclose(again.sample(4).particles["pt"], first.sample(4).particles["pt"], rtol=1e-5)


def test_one_call_learns_and_generates(config, jets, tmp_path):
    made = generate(jets, 4, label="class 0", config=config, directory=tmp_path)
    assert len(made) == 4 and (tmp_path / "particles.safetensors").is_file()


def test_scratch_and_fine_tuned_start_from_other_weights(config, jets):
    scratch = JetGeneration(replace(config, from_scratch=True))
    tuned = JetGeneration(config)
    for one in (scratch, tuned):
        one.fit_particles(jets[:60], jets[60:])
    losses = [one.histories["particles"].val_loss[0] for one in (scratch, tuned)]
    assert losses[0] != losses[1]
    assert scratch.particles.n_parameters == tuned.particles.n_parameters


def test_training_lowers_the_loss_of_both_stages(config, jets):
    longer = replace(SHORT, epochs=10)
    one = JetGeneration(replace(config, particles=longer, kinematics=longer)).fit(jets)
    for history in one.histories.values():
        assert history.best()["loss"] < history.val_loss[0]


def test_jets_without_labels_are_one_class(config, jets):
    columns = {k: v for k, v in jets.jet.items() if k != "label"}
    plain = replace(jets, jet=columns, class_names=())
    made = JetGeneration(config).fit(plain).sample(3)
    assert made.label.tolist() == [0, 0, 0]


def test_bad_requests_are_named(generator, jets):
    with pytest.raises(ConfigError, match="did you mean 'class 1'"):
        generator.sample(3, label="clas 1")
    with pytest.raises(ConfigError, match="labels 2 do not fit"):
        generator.sample(3, label=2)
    with pytest.raises(ConfigError, match="do not fit 3 jets"):
        generator.sample(3, label=[0, 1])
    for n in (0, -1):
        with pytest.raises(ConfigError, match="at least one jet"):
            generator.sample(n)
    with pytest.raises(ConfigError, match="trained on"):
        generator.sample_like(random_jets(5, n_classes=3))


def test_bad_training_jets_are_named(config, jets):
    with pytest.raises(JetsError, match="no jets of \\['class 1'\\]"):
        JetGeneration(config).fit(jets[jets.label == 0])
    with pytest.raises(JetsError, match="no jets to learn"):
        JetDomain.of(jets[:0])
    with pytest.raises(JetsError, match="weights"):
        JetGeneration(config).fit(jets.with_jet(weight=np.arange(len(jets))))
    with pytest.raises(JetsError, match="cannot be split"):
        JetGeneration(config).fit(jets[:3])
    with pytest.raises(JetsError, match="'mass' is not finite at row 3"):
        broken = jets.jet["mass"].copy()
        broken[3] = np.nan
        JetGeneration(config).fit(replace(jets, jet=dict(jets.jet) | {"mass": broken}))


def test_use_before_training_is_named(config):
    with pytest.raises(TrainingError, match="fit"):
        JetGeneration(config).sample(3)


def test_unknown_standardisation_is_named():
    with pytest.raises(ConfigError, match="did you mean 'jetnet30'"):
        JetGenerationConfig(standardization="jetnet3")
