import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.widgets import ReweightingExplorer

from .samples import EDGES, observed, reweighting_explorer


def test_every_control_changes_the_picture():
    one = reweighting_explorer()
    seen = {one._image.value}
    for change in ({"observable": "width"}, {"method": "scratch"}, {"seed": 2}, {"log": True}):
        one.set(**change)
        assert one._image.value not in seen, change
        seen.add(one._image.value)


def test_only_the_chosen_method_is_drawn():
    one = reweighting_explorer()
    assert set(one.figure().figure_data.names) == {"target", "nominal", "scratch", "fine-tuned"}
    one.set(method="scratch")
    assert set(one.figure().figure_data.names) == {"target", "nominal", "scratch"}


def test_missing_observables_are_named():
    with pytest.raises(ConfigError, match="width"):
        ReweightingExplorer({"mass": [1.0]}, observed(1), weights={"a": np.ones(200)}, edges=EDGES)
