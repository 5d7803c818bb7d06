import pytest
import torch
from omnilearn_lab.errors import CheckpointError, ConfigError
from omnilearn_lab.models import (
    Batch,
    PETv2,
    PETv2Config,
    PublishedPET,
    has_checkpoint,
    save_checkpoint,
)
from omnilearn_lab.models.layers import Codebook
from omnilearn_lab.tasks.common import (
    ClassifierData,
    ClassifierSettings,
    load_trained,
    make_model,
    network_batch,
    network_of,
    predict,
    train_classifier,
)
from omnilearn_lab.tasks.common.networks import (
    NETWORKS,
    complete_batch,
    copy_fitting,
    fit_codebook,
    load_classifier,
)
from omnilearn_lab.training import TrainConfig
from tests.conftest import random_jets

JETS = random_jets(6, mean=5)


@pytest.fixture(scope="module")
def pretrained_v2(tmp_path_factory):
    """A PET v2 as pretraining leaves it: with generator, time token, species and additional columns."""
    torch.manual_seed(7)
    changes = {"n_classes": 10, "n_species": 9, "n_extra": 4, "feature_drop": 0.1}
    model = PETv2(PETv2Config(mode="pretrain", width=16, n_layers=1, n_heads=2, n_head_layers=1, **changes))
    path = tmp_path_factory.mktemp("v2") / "v2.safetensors"
    save_checkpoint(model, path, card={})
    return str(path), model


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("n_classes", [2, 4])
def test_every_network_classifies_its_own_inputs(network, n_classes):
    settings = ClassifierSettings(n_classes, network=network)
    model = make_model(settings).eval()
    batch = network_batch(JETS, inputs=settings.inputs, use_pid=False)
    assert model.classify(complete_batch(batch, model)).logits.shape == (6, n_classes)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_seed_fixes_the_weights(network):
    def weights(seed):
        model = make_model(ClassifierSettings(2, network=network, training=TrainConfig(seed=seed)))
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    torch.testing.assert_close(weights(1), weights(1), rtol=0, atol=0)
    assert not torch.equal(weights(1), weights(2))


@pytest.mark.parametrize("source", ["tiny", "v2"])
def test_scratch_has_the_sizes_of_the_checkpoint_and_none_of_its_weights(source, pretrained_v2):
    path = pretrained_v2[0] if source == "v2" else source
    tuned = make_model(ClassifierSettings(2, path))
    scratch = make_model(ClassifierSettings(2, like=path))
    assert tuned.config == scratch.config
    pairs = zip(tuned.body.parameters(), scratch.body.parameters(), strict=True)
    assert not any(torch.equal(a, b) for a, b in pairs if a.dim() > 1)


def test_pretrained_v2_keeps_body_and_classifier_only(pretrained_v2):
    path, pretrained = pretrained_v2
    model = load_classifier(path, n_classes=2)
    assert model.generator is None and model.body.time is None
    assert (model.config.mode, model.config.feature_drop) == ("classifier", 0.0)
    before, after = pretrained.state_dict(), model.state_dict()
    changed = {name for name in after if not torch.equal(after[name], before[name])} if after else set()
    assert changed == {"classifier.out.weight", "classifier.out.bias"}


def test_hidden_species_are_unknown_species(pretrained_v2):
    model = load_classifier(pretrained_v2[0], n_classes=2).eval()
    hidden = complete_batch(network_batch(JETS, inputs="pet_v2", use_pid=False), model)
    assert hidden.pid.shape == (JETS.n_particles,) and not hidden.pid.any()
    assert hidden.extra.shape == (JETS.n_particles, 4) and not hidden.extra.any()
    seen = complete_batch(network_batch(JETS, inputs="pet_v2"), model)
    assert seen.pid.any()
    with torch.no_grad():
        assert not torch.allclose(model.classify(hidden).logits, model.classify(seen).logits)


def test_inputs_follow_the_checkpoint(pretrained_v2):
    path, _ = pretrained_v2
    assert network_of(path) == "pet_v2"
    assert ClassifierSettings(2, path).inputs == "pet_v2"
    assert ClassifierSettings(2, like=path).inputs == "pet_v2"
    assert ClassifierSettings(2, "tiny").inputs == ClassifierSettings(2, network="pfn").inputs == "pet"


def test_published_files_of_both_networks(shared_fixtures):
    first, second = (str(shared_fixtures / name) for name in PUBLISHED)
    assert (network_of(first), network_of(second)) == ("pet", "pet_v2")
    assert load_classifier(first, n_classes=3).config.n_classes == 3
    model = load_classifier(second, n_classes=3)
    assert (model.config.mode, model.config.n_classes) == ("classifier", 3)


def test_published_padding_comes_with_the_published_weights(shared_fixtures, tmp_path):
    source = str(shared_fixtures / PUBLISHED[0])
    settings = {"init": ClassifierSettings(2, source), "like": ClassifierSettings(2, like=source)}
    for made in (make_model(one) for one in settings.values()):
        assert isinstance(made, PublishedPET) and made.config.padded_length == 150
    tuned = save_checkpoint(make_model(settings["init"]), tmp_path / "tuned.safetensors")
    assert isinstance(load_classifier(str(tuned), n_classes=3), PublishedPET)
    assert network_of(str(tuned)) == "pet"


PUBLISHED = ("pet_v1_keras_small.weights.h5", "pet_v2_small_pretrain.pt")


def test_wrong_names_are_refused():
    with pytest.raises(ConfigError, match="did you mean 'particle_net'"):
        ClassifierSettings(2, network="particlenet")
    with pytest.raises(ConfigError, match="greater than 0"):
        ClassifierSettings(2, n_train=0)
    with pytest.raises(CheckpointError, match="no checkpoint 'nothing'"):
        make_model(ClassifierSettings(2, "nothing"))
    assert not has_checkpoint("nothing")


def test_the_trained_network_gives_the_same_scores(jets, tmp_path):
    data = ClassifierData.from_jets({"train": jets[:30], "val": jets[30:40], "test": jets[40:]})
    settings = ClassifierSettings(2, init="tiny", training=TrainConfig(epochs=1, batch_size=10))
    trained = train_classifier(data, settings, run_directory=str(tmp_path / "run"))
    again = predict(load_trained(tmp_path / "run"), data.test)
    assert again == pytest.approx(trained.probabilities, abs=1e-6)


def test_unfinished_run_is_named(tmp_path):
    (tmp_path / "config.yaml").write_text("n_classes: 2\n")
    with pytest.raises(CheckpointError, match=r"best\.safetensors is missing"):
        load_trained(tmp_path)


def test_fitting_weights_are_copied_and_used():
    torch.manual_seed(7)
    changes = {"width": 16, "n_layers": 1, "n_heads": 2}
    pretrained = PETv2(PETv2Config(mode="pretrain", n_classes=11, **changes)).body.state_dict()
    model = make_model(ClassifierSettings(3, network="pet_v2", changes=changes | {"n_species": 0}))
    assert set(copy_fitting(pretrained, model.body)) == set(model.body.state_dict())
    assert all(torch.equal(v, pretrained[n]) for n, v in model.body.state_dict().items())
    with pytest.raises(ConfigError, match="same sizes"):
        copy_fitting({name: value[None] for name, value in pretrained.items()}, model.body)


def test_changes_of_a_checkpoints_network_keep_what_fits(pretrained_v2):
    path, pretrained = pretrained_v2
    model = make_model(ClassifierSettings(4, path, changes={"n_extra": 7}))
    assert model.config.n_extra == 7 and model.config.width == 16
    source = pretrained.body.state_dict()
    anew = [n for n, v in model.body.state_dict().items() if v.shape != source[n].shape]
    assert anew and all(name.startswith("extra.") for name in anew)
    kept = {n: v for n, v in model.body.state_dict().items() if n not in anew}
    assert all(torch.equal(value, source[name]) for name, value in kept.items())


def test_a_codebook_is_the_centres_of_the_particles_and_the_seed_alone():
    spots = torch.tensor([[0.1, 0.0, 1.0, 0.0], [-0.3, 0.2, 3.0, 0.0], [0.0, -0.4, 0.0, 0.0]])
    rows = spots.repeat(40, 1) + 0.001 * torch.randn(120, 4, generator=torch.Generator().manual_seed(1))
    batch = Batch(rows, rows[:, :2], torch.arange(0, 121, 3), torch.zeros(40, 0))
    centers, again = fit_codebook(batch, 3), fit_codebook(batch, 3)
    assert torch.equal(centers, again)
    codebook = Codebook(3)
    codebook.centers.copy_(centers)
    torch.testing.assert_close(codebook.decode(codebook.encode(spots)), spots[:, :3], rtol=0, atol=2e-3)
    with pytest.raises(ConfigError, match="200 codes are asked of 120 particles"):
        fit_codebook(batch, 200)
