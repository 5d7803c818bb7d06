"""Labels, binnings and choices behind the observables."""

from __future__ import annotations

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.observables import OBSERVABLES, SIX, ObservableConfig, SoftDrop
from omnilearn_lab.observables.compute import FORMULAS
from omnilearn_lab.settings import from_mapping, to_mapping


def test_there_and_back_through_a_mapping():
    config = ObservableConfig(jet_radius=0.8, axes="wta_kt", soft_drop=SoftDrop(beta=1.0, r0=0.8))
    assert from_mapping(ObservableConfig, to_mapping(config)) == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"jet_radius": 0.0}, "greater than 0"),
        ({"axes": "KT"}, "known: kt"),
        ({"ungroomed": "nan"}, "known: exclude"),
        ({"soft_drop": {"z_cut": 0.5}}, "less than 0.5"),
        ({"soft_drop": {"r0": 0.0}}, "greater than 0"),
        ({"radius": 0.4}, "did you mean 'jet_radius'"),
    ],
)
def test_bad_choices(settings, message):
    with pytest.raises(ConfigError, match=message):
        from_mapping(ObservableConfig, settings)


PUBLISHED = {  # limits and number of edges of the papers' evaluation, column of the published arrays
    "mass": (0, 75, 50, 0),
    "width": (0, 0.6, 50, 1),
    "multiplicity": (0, 80, 80, 2),
    "ln_rho": (-14, -2, 50, 3),
    "z_g": (0, 0.5, 50, 4),
    "tau_21": (0, 1.2, 50, 5),
}


@pytest.mark.parametrize("name", SIX)
def test_published_binning(name):
    low, high, n_edges, column = PUBLISHED[name]
    np.testing.assert_allclose(OBSERVABLES[name].published_edges, np.linspace(low, high, n_edges))
    assert OBSERVABLES[name].column == column


def test_integers_sit_in_the_middle_of_display_bins():
    edges = OBSERVABLES["multiplicity"].edges
    np.testing.assert_allclose((edges[1:] + edges[:-1]) / 2, np.arange(81), atol=1e-12)


def test_table_and_formulas_have_the_same_names():
    assert set(OBSERVABLES) == set(FORMULAS)
    assert tuple(OBSERVABLES)[:6] == SIX


def test_labels_are_mathematics():
    assert all(o.label.count("$") == 2 for o in OBSERVABLES.values())


def test_the_table_is_frozen():
    with pytest.raises(TypeError):
        OBSERVABLES["mass"] = None
    with pytest.raises(AttributeError):
        OBSERVABLES["mass"].n_bins = 7
