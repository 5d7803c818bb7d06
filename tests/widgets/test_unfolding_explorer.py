import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.widgets import UnfoldingExplorer

EDGES = {"mass": np.linspace(0, 60, 11), "width": np.linspace(0, 0.5, 11)}


def sample(seed, n=200):
    rng = np.random.default_rng(seed)
    return {"mass": rng.gamma(4, 5, n), "width": rng.beta(2, 8, n)}


def view():
    rng = np.random.default_rng(0)
    weights = {"OmniFold": {name: rng.gamma(9, 0.1, (3, 2, 200)) for name in EDGES}}
    binned = {"IBU": {name: rng.uniform(5, 9, (2, 10)) for name in EDGES}}
    return UnfoldingExplorer(sample(1), sample(2), edges=EDGES, weights=weights, binned=binned)


def test_every_control_changes_the_picture():
    one = view()
    seen = {one._image.value}
    for change in ({"iteration": 1}, {"observable": "width"}, {"method": "IBU"}, {"log": True}):
        one.set(**change)
        assert one._image.value not in seen, change
        seen.add(one._image.value)


def test_methods_with_fewer_iterations_show_their_last():
    one = view()
    one.set(method="IBU", iteration=3)
    last = one._image.value
    one.set(iteration=2)
    assert one._image.value == last
    assert set(one.figure().figure_data.names) == {"truth", "simulation", "IBU"}


def test_controls_are_described():
    for control in view().controls.values():
        assert control.description
        assert control.tooltip


def test_missing_observables_are_named():
    with pytest.raises(ConfigError, match="width"):
        UnfoldingExplorer({"mass": [1.0]}, sample(1), edges=EDGES, weights={"a": {}})
