import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.widgets import ScoredEvents, SicExplorer

from .samples import SIGNAL_REGION, events, sic_explorer


def test_every_control_changes_the_picture():
    one = sic_explorer()
    seen = {one._image.value}
    for change in ({"kept": 0.3}, {"injected": 80}, {"show": "SIC curve"}):
        one.set(**change)
        assert one._image.value not in seen, change
        seen.add(one._image.value)


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
