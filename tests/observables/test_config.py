"""Choices behind the observables."""

import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.observables import ObservableConfig, SoftDrop
from omnilearn_lab.settings import from_mapping, to_mapping


def test_there_and_back_through_a_mapping():
    config = ObservableConfig(jet_radius=0.8, axes="wta_kt", soft_drop=SoftDrop(beta=1.0, r0=0.8))
    assert from_mapping(ObservableConfig, to_mapping(config)) == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"jet_radius": 0.0}, "positive radius"),
        ({"axes": "KT"}, "known: kt"),
        ({"ungroomed": "nan"}, "known: exclude"),
        ({"soft_drop": {"z_cut": 0.5}}, "momentum fraction"),
        ({"soft_drop": {"r0": 0.0}}, "positive radius"),
        ({"radius": 0.4}, "did you mean 'jet_radius'"),
    ],
)
def test_bad_choices(settings, message):
    with pytest.raises(ConfigError, match=message):
        from_mapping(ObservableConfig, settings)
