import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.widgets import UnfoldingExplorer

from .samples import EDGES, observed, unfolding_explorer


def test_every_control_changes_the_picture():
    one = unfolding_explorer()
    seen = {one._image.value}
    for change in ({"iteration": 1}, {"observable": "width"}, {"method": "IBU"}, {"log": True}):
        one.set(**change)
        assert one._image.value not in seen, change
        seen.add(one._image.value)


def test_methods_with_fewer_iterations_show_their_last():
    one = unfolding_explorer()
    one.set(method="IBU", iteration=3)
    last = one._image.value
    one.set(iteration=2)
    assert one._image.value == last
    assert set(one.figure().figure_data.names) == {"truth", "simulation", "IBU"}


def test_missing_observables_are_named():
    with pytest.raises(ConfigError, match="width"):
        UnfoldingExplorer({"mass": [1.0]}, observed(1), edges=EDGES, weights={"a": {}})
