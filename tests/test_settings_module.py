from dataclasses import field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.settings import from_mapping, settings, to_mapping
from omnilearn_lab.training import TrainConfig


@settings
class Outer:
    name: str
    inner: TrainConfig = field(default_factory=TrainConfig)
    sizes: tuple[int, ...] = ()


def test_nested_mappings_and_lists_are_converted():
    made = from_mapping(Outer, {"name": "a", "inner": {"epochs": 3, "betas": [0.9, 0.98]}, "sizes": [1, 2]})
    assert made == Outer("a", TrainConfig(epochs=3.0, betas=(0.9, 0.98)), (1, 2))


def test_unknown_keys_name_the_nearest():
    with pytest.raises(ConfigError, match="'epoch'.*did you mean 'epochs'"):
        from_mapping(Outer, {"name": "a", "inner": {"epoch": 3}})


def test_missing_field_is_an_error():
    with pytest.raises(ConfigError, match="Outer.name is missing"):
        from_mapping(Outer, {})


@pytest.mark.parametrize(
    "bad",
    [
        {"epochs": 0},
        {"optimizer": "sgd"},
        {"precision": "fp8"},
        {"ema_decay": 1.0},
        {"batch_size": 10, "accumulate": 3},
        {"clip_norm": -1.0},
        {"weight_decay": -0.1},
        {"seed": -1},
        {"learning_rate": float("inf")},
        {"final_lr_fraction": 7.0},
    ],
)
def test_values_outside_their_domain(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        TrainConfig(**bad)


def test_numbers_may_be_written_as_yaml_reads_them():
    made = from_mapping(TrainConfig, {"learning_rate": "5e-4", "epochs": 3, "batch_size": 64.0})
    assert made == TrainConfig(learning_rate=5e-4, epochs=3.0, batch_size=64)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"batch_size": 64.5}, "TrainConfig.batch_size is 64.5; a whole number is needed"),
        ({"batch_size": True}, "a whole number"),
        ({"compile": "no"}, "TrainConfig.compile is 'no'; true or false is needed"),
        ({"betas": 0.9}, "a list"),
        ({"betas": ["a", 0.9]}, "TrainConfig.betas is 'a'; a number"),
        ({"optimizer": 5}, "TrainConfig.optimizer is 5; known: adamw, lion"),
        ({"learning_rate": "abc"}, "TrainConfig.learning_rate is 'abc'; a number"),
    ],
)
def test_values_of_another_type_are_named(bad, message):
    with pytest.raises(ConfigError, match=message):
        from_mapping(TrainConfig, bad)


def test_settings_must_be_settings():
    with pytest.raises(ConfigError, match=r"Outer.inner is 5; settings \(TrainConfig\) is needed"):
        from_mapping(Outer, {"name": "a", "inner": 5})


@given(st.floats(0.1, 100), st.integers(1, 500), st.sampled_from(["lion", "adamw"]))
def test_round_trip(epochs, batch_size, optimizer):
    config = TrainConfig(epochs=epochs, batch_size=batch_size, optimizer=optimizer)
    assert from_mapping(TrainConfig, to_mapping(config)) == config
