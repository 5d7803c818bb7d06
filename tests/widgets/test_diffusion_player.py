import base64

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError, FigureError
from omnilearn_lab.widgets import DiffusionPlayer

TIMES = [1.0, 0.5, 0.0]


def path(n_particles=12, seed=0):
    rng = np.random.default_rng(seed)
    cloud = np.column_stack([rng.normal(0, 0.1, (n_particles, 2)), rng.exponential(20, n_particles)])
    return np.array([cloud + rng.normal(0, t, cloud.shape) * [1, 1, 0] for t in TIMES])


def player():
    return DiffusionPlayer(TIMES, {"gluon": path(), "top": path(20, 1)}, source="toy")


def test_every_step_and_jet_is_another_picture():
    one = player()
    seen = {one._image.value}
    for change in ({"step": 1}, {"step": 2}, {"jet": "top"}):
        one.set(**change)
        assert one._image.value not in seen, change
        seen.add(one._image.value)


def test_summary_says_what_is_shown():
    one = player()
    assert one.summary == "gluon: 12 particles at t = 1, step 0 of 2."
    one.set(step=1, jet="top")
    assert one.summary == "top: 20 particles at t = 0.5, step 1 of 2."


def test_play_button_drives_the_slider():
    one = player()
    assert one.link.source == (one.play, "value") and one.link.target == (one.controls["step"], "value")
    assert one.play.max == one.controls["step"].max == 2
    assert one.play in one.widget.children[0].children


def test_frames_share_their_size():
    one = player()
    limits = set()
    for step in range(3):
        one.set(step=step)
        limits.add(one.figure().axes[0].get_xlim())
    assert len(limits) == 1


def test_static_form_shows_several_frames():
    bundle = player()._repr_mimebundle_()
    assert "shown at times 1, 0.5, 0" in bundle["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in bundle
    picture, frame = base64.b64decode(bundle["image/png"]), bytes(player()._image.value)
    assert len(picture) > len(frame)


def test_bad_trajectories_are_named():
    with pytest.raises(ConfigError, match="no jet to play"):
        DiffusionPlayer(TIMES, {})
    with pytest.raises(FigureError, match="not finite"):
        DiffusionPlayer(TIMES, {"a": np.full((3, 5, 3), np.nan)})
    with pytest.raises(FigureError, match="shape"):
        DiffusionPlayer(TIMES, {"a": path()[:2]})
