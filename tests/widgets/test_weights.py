"""Reweighted and unfolded observables."""

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.widgets import ReweightingExplorer, UnfoldingExplorer

from .samples import EDGES, observed, reweighting_explorer, unfolding_explorer


def test_only_the_chosen_method_is_drawn():
    one = reweighting_explorer()
    assert set(one.figure().figure_data.names) == {"target", "nominal", "scratch", "fine-tuned"}
    one.set(method="scratch")
    assert set(one.figure().figure_data.names) == {"target", "nominal", "scratch"}


def test_iterations_stand_side_by_side_from_the_simulation_on():
    view = unfolding_explorer()
    names = view.frames().figure_data.names
    assert [name for name in names if name.startswith("iteration 0")] == [
        "iteration 0, truth",
        "iteration 0, simulation",
    ]
    assert {f"iteration {i}, OmniFold" for i in (1, 2, 3)} <= set(names)
    assert view.play.max == view.controls["iteration"].max == 3


def test_missing_observables_are_named():
    with pytest.raises(ConfigError, match="width"):
        ReweightingExplorer({"mass": [1.0]}, observed(1), weights={"a": np.ones(200)}, edges=EDGES)
    with pytest.raises(ConfigError, match="width"):
        UnfoldingExplorer({"mass": [1.0]}, observed(1), edges=EDGES, weights={"a": {}})


def test_methods_with_fewer_iterations_show_their_last():
    one = unfolding_explorer()
    one.set(method="IBU", iteration=3)
    last = one._image.value
    one.set(iteration=2)
    assert one._image.value == last
    assert set(one.figure().figure_data.names) == {"truth", "simulation", "IBU"}
