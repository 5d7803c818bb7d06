import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.widgets import ReweightingExplorer

EDGES = {"mass": np.linspace(0, 60, 11), "width": np.linspace(0, 0.5, 11)}


def sample(seed, n=200):
    rng = np.random.default_rng(seed)
    return {"mass": rng.gamma(4, 5, n), "width": rng.beta(2, 8, n)}


def view():
    rng = np.random.default_rng(0)
    weights = {"scratch": rng.gamma(9, 0.1, (2, 200)), "fine-tuned": rng.gamma(9, 0.1, (3, 200))}
    return ReweightingExplorer(sample(1), sample(2), weights=weights, edges=EDGES)


def test_every_control_changes_the_picture():
    one = view()
    seen = {one._image.value}
    for change in ({"observable": "width"}, {"method": "scratch"}, {"seed": 2}, {"log": True}):
        one.set(**change)
        assert one._image.value not in seen, change
        seen.add(one._image.value)


def test_only_the_chosen_method_is_drawn():
    one = view()
    assert set(one.figure().figure_data.names) == {"target", "nominal", "scratch", "fine-tuned"}
    one.set(method="scratch")
    assert set(one.figure().figure_data.names) == {"target", "nominal", "scratch"}


def test_controls_are_described():
    for control in view().controls.values():
        assert control.description
        assert control.tooltip


def test_missing_observables_are_named():
    with pytest.raises(ConfigError, match="width"):
        ReweightingExplorer({"mass": [1.0]}, sample(1), weights={"a": np.ones(200)}, edges=EDGES)
