import pytest
import torch
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models import load_checkpoint, read_card, save_checkpoint
from omnilearn_lab.models.adapters import adapted_layers, add_adapters, merge_adapters, merged
from tests.training.helpers import packed, small_model, small_v2

MODELS = {"PET": small_model, "PETv2": lambda: small_v2("classifier", n_classes=2)}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]().eval()


def jets_for(model):
    jets = packed(6)
    if hasattr(model.config, "mode"):
        jets = jets.replace(features=jets.features[:, :4], jet=jets.jet[:, :0])
    return jets


def logits(model):
    with torch.no_grad():
        return model.classify(jets_for(model)).logits


def shaken(model):
    """Give the adapters values other than zero."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name in adapted_layers(model):
            rise = model.get_submodule(name).rise
            rise.copy_(torch.randn(rise.shape, generator=generator))
    return model


def test_new_adapters_change_nothing(model):
    before = logits(model)
    names = add_adapters(model, rank=2)
    assert torch.equal(logits(model), before)
    assert names == adapted_layers(model)
    assert all(any(part in n for part in ("attention", "mlp", "forward_layer")) for n in names)


def test_merged_model_has_the_same_output_and_layout(model):
    keys, before = list(model.state_dict()), logits(model)
    add_adapters(model, rank=2)
    adapted = logits(shaken(model))
    assert not torch.allclose(adapted, before)
    assert merge_adapters(model)
    assert not adapted_layers(model)
    assert torch.equal(logits(model), adapted)
    assert sorted(model.state_dict()) == sorted(keys)
    assert all(p.requires_grad for p in model.parameters())


def test_merged_copy_leaves_the_model_alone(model):
    assert merged(model) is model
    add_adapters(model, rank=2)
    other = merged(shaken(model))
    assert adapted_layers(model)
    assert not adapted_layers(other)
    assert torch.equal(logits(other), logits(model))


def test_only_adapters_and_heads_are_trainable(model):
    add_adapters(model, rank=2)
    body = [name for name, p in model.named_parameters() if p.requires_grad and name.startswith("body.")]
    assert body
    assert all(name.endswith((".rise", ".fall")) for name in body)
    heads = [p for name, p in model.named_parameters() if not name.startswith("body.")]
    assert all(p.requires_grad for p in heads)


def test_adding_twice_keeps_the_first(model):
    add_adapters(model, rank=2)
    values = {k: v.clone() for k, v in shaken(model).state_dict().items()}
    add_adapters(model, rank=2, seed=7)
    assert all(torch.equal(values[k], v) for k, v in model.state_dict().items())


def test_checkpoint_of_an_adapted_model_is_an_ordinary_one(model, tmp_path):
    add_adapters(model, rank=2)
    expected = logits(shaken(model))
    path = save_checkpoint(model, tmp_path / "a.safetensors")
    loaded = load_checkpoint(path)
    assert not adapted_layers(loaded)
    assert torch.equal(logits(loaded), expected)
    assert read_card(path)["n_parameters"] == sum(p.numel() for p in loaded.parameters())


def test_rank_must_be_positive(model):
    with pytest.raises(ConfigError, match="rank of adapters is 0"):
        add_adapters(model, rank=0)


def test_a_model_without_blocks_is_refused():
    with pytest.raises(ConfigError, match="no body with transformer blocks"):
        add_adapters(torch.nn.Linear(2, 2))
