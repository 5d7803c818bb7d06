"""A cut on a score, on curves and on a mass spectrum."""

import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.widgets import RocExplorer, ScoredEvents, SicExplorer

from . import samples
from .samples import SIGNAL_REGION, events, sic_explorer


@pytest.fixture(scope="module")
def scores():
    return samples.scores()


def test_counts_add_up_and_follow_the_slider(scores):
    view = RocExplorer(scores, names=("QCD", "top"))
    view.set(efficiency=0.8)
    assert "<tr><td>top</td><td>400</td><td>100</td></tr>" in view.details()


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


def test_a_cut_raises_the_significance_of_a_signal():
    one = sic_explorer()
    one.set(injected=80)
    before = one.hunt().significance
    one.set(kept=0.2)
    assert one.hunt().significance > before and "sigma" in one.summary
    assert "Largest significance improvement" in one._text.value


def test_a_hard_cut_says_that_there_are_too_few_events():
    few = events(0)
    one = SicExplorer({0: ScoredEvents(few.masses[:60], few.scores[:60], few.curve)}, SIGNAL_REGION)
    one.set(kept=0.05)
    assert "sidebands" in one.summary


def test_nothing_to_explore_is_named():
    with pytest.raises(ConfigError, match="nothing to explore"):
        SicExplorer({}, SIGNAL_REGION)
