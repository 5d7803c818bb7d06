import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.training import History
from omnilearn_lab.widgets import LossComparison


def curve(*losses):
    columns = (
        {"step": 10 * i, "epoch": i / 2, "jets": 100 * i, "seconds": float(i)} for i in range(len(losses))
    )
    return History({"kind": "validation", "loss": v, **c} for v, c in zip(losses, columns, strict=True))


def view():
    return LossComparison(
        {"scratch": [curve(0.7, 0.6, 0.5), curve(0.7, 0.65, 0.6)], "fine-tuned": [curve(0.7, 0.4, 0.3)] * 2}
    )


def test_every_control_changes_the_picture():
    one = view()
    seen = {one._image.value}
    for change in ({"x": "step"}, {"x": "seconds"}, {"log": True}, {"seed": 1}, {"smooth": 3}):
        one.set(**change)
        assert one._image.value not in seen, change
        seen.add(one._image.value)


def test_summary_says_when_the_target_is_reached():
    one = view()
    one.set(seed=0)
    assert "reached by fine-tuned at 0.5" in one.summary
    one.set(x="step")
    assert "reached by fine-tuned at 10" in one.summary


def test_static_form_is_a_picture():
    bundle = view()._repr_mimebundle_()
    assert {"image/png", "text/plain", "application/vnd.jupyter.widget-view+json"} <= set(bundle)


def test_controls_are_described():
    for control in view().controls.values():
        assert control.description
        assert control.tooltip


def test_missing_baseline_is_named():
    with pytest.raises(ConfigError, match="baseline 'scratch'"):
        LossComparison({"fine-tuned": [curve(0.5, 0.4)]})
