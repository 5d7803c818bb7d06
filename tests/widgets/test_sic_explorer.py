import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.metrics import roc
from omnilearn_lab.tasks import MassFit
from omnilearn_lab.widgets import ScoredEvents, SicExplorer

REGION = (3300, 3700)


def events(n_signal, seed=1):
    rng = np.random.default_rng(seed)
    background = 2300 + rng.exponential(500, 4000)
    masses = np.concatenate([background, rng.uniform(*REGION, n_signal)])
    scores = np.concatenate([rng.random(4000), 0.8 + 0.2 * rng.random(n_signal)])
    labels = np.arange(500) < 100
    return ScoredEvents(masses, scores, roc(labels + rng.normal(0, 1, 500), labels))


def view():
    fit = MassFit(function="log_polynomial2")
    return SicExplorer({0: events(0), 80: events(80, 2)}, REGION, fit=fit, source="toy")


def test_every_control_changes_the_picture():
    one = view()
    seen = {one._image.value}
    for change in ({"kept": 0.3}, {"injected": 80}, {"show": "SIC curve"}):
        one.set(**change)
        assert one._image.value not in seen, change
        seen.add(one._image.value)


def test_a_cut_raises_the_significance_of_a_signal():
    one = view()
    one.set(injected=80)
    before = one.hunt().significance
    one.set(kept=0.2)
    assert one.hunt().significance > before and "sigma" in one.summary
    assert "Largest significance improvement" in one._text.value


def test_a_hard_cut_says_that_there_are_too_few_events():
    few = events(0)
    one = SicExplorer({0: ScoredEvents(few.masses[:60], few.scores[:60], few.curve)}, REGION)
    one.set(kept=0.05)
    assert "sidebands" in one.summary


def test_static_form_is_a_picture():
    bundle = view()._repr_mimebundle_()
    assert {"image/png", "text/plain", "application/vnd.jupyter.widget-view+json"} <= set(bundle)


def test_controls_are_described():
    for control in view().controls.values():
        assert control.description and control.tooltip


def test_nothing_to_explore_is_named():
    with pytest.raises(ConfigError, match="nothing to explore"):
        SicExplorer({}, REGION)
