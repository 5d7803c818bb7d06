import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.settings import from_mapping, to_mapping
from omnilearn_lab.training import TrainConfig


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"learning_rate": -1.0}, "learning_rate is -1"),
        ({"optimizer": "sgd"}, "adamw, lion"),
        ({"precision": "fp16"}, "bf16, fp32"),
        ({"trainable": "tail"}, "adapters, all, heads"),
        ({"ema_decay": 1.0}, "ema_decay is 1.0"),
        ({"betas": (0.9, 1.0)}, "betas"),
        ({"betas": (0.9,)}, "betas"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"layer_decay": 0.0}, "layer_decay is 0.0"),
        ({"head_updates": -1}, "head_updates is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"final_lr_fraction": 1.5}, "final_lr_fraction is 1.5"),
        ({"batch_size": 10, "accumulate": 3}, "not a multiple of accumulate 3"),
        ({"adapter_rank": 0}, "adapter_rank is 0"),
        ({"records_per_validation": 0}, "records_per_validation is 0"),
    ],
)
def test_values_outside_their_domain(changes, message):
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**changes)


def test_yaml_and_keywords_make_the_same_object():
    config = TrainConfig(epochs=3, betas=(0.9, 0.98), trainable="adapters")
    assert from_mapping(TrainConfig, to_mapping(config)) == config


def test_unknown_keys_name_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'learning_rate'"):
        from_mapping(TrainConfig, {"learning_rat": 1e-3})
