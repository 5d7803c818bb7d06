import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.widgets import LossComparison

from .samples import history, loss_comparison


def test_every_control_changes_the_picture():
    one = loss_comparison()
    seen = {one._image.value}
    for change in ({"x": "step"}, {"x": "seconds"}, {"log": True}, {"seed": 1}, {"smooth": 3}):
        one.set(**change)
        assert one._image.value not in seen, change
        seen.add(one._image.value)


def test_summary_says_when_the_target_is_reached():
    one = loss_comparison()
    one.set(seed=0)
    assert "fine-tuned reaches it at 0.5" in one.summary
    one.set(x="step")
    assert "fine-tuned reaches it at 5" in one.summary


def test_missing_baseline_is_named():
    with pytest.raises(ConfigError, match="baseline 'scratch'"):
        LossComparison({"fine-tuned": [history([0.5, 0.4])]})
