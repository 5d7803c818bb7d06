import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.widgets import RocExplorer

from . import samples


@pytest.fixture(scope="module")
def scores():
    return samples.scores()


def test_counts_add_up_and_follow_the_slider(scores):
    view = RocExplorer(scores, names=("QCD", "top"))
    view.set(efficiency=0.8)
    assert "<tr><td>top</td><td>400</td><td>100</td></tr>" in view.details()


def test_every_control_changes_the_picture(scores):
    view = RocExplorer(scores)
    seen = {view._image.value}
    for change in ({"classifier": "strong"}, {"run": 1}, {"efficiency": 0.3}):
        view.set(**change)
        assert view._image.value not in seen, change
        seen.add(view._image.value)


def test_a_better_classifier_rejects_more_at_the_same_efficiency(scores):
    view = RocExplorer(scores)
    values = {}
    for name in scores:
        view.set(classifier=name)
        values[name] = float(view.summary.split("and rejection ")[1].split(" ±")[0].strip("> ."))
    assert values["strong"] > values["weak"]


def test_nothing_to_explore():
    with pytest.raises(ConfigError, match="no scores"):
        RocExplorer({})
