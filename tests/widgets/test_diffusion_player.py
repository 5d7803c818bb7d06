import base64

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError, FigureError
from omnilearn_lab.widgets import DiffusionPlayer

from .samples import TIMES, diffusion_player, trajectory

LAST = len(TIMES) - 1


def test_every_step_and_jet_is_another_picture():
    one = diffusion_player()
    seen = {one._image.value}
    for change in ({"step": 1}, {"step": 2}, {"jet": "top"}):
        one.set(**change)
        assert one._image.value not in seen, change
        seen.add(one._image.value)


def test_summary_says_what_is_shown():
    one = diffusion_player()
    assert one.summary == "gluon: 12 particles at t = 1, step 0 of 5."
    one.set(step=3, jet="top")
    assert one.summary == "top: 20 particles at t = 0.4, step 3 of 5."


def test_play_button_drives_the_slider():
    one = diffusion_player()
    assert one.link.source == (one.play, "value") and one.link.target == (one.controls["step"], "value")
    assert one.play.max == one.controls["step"].max == LAST
    assert one.play in one.widget.children[0].children


def test_frames_share_their_size():
    one = diffusion_player()
    limits = set()
    for step in range(len(TIMES)):
        one.set(step=step)
        limits.add(one.figure().axes[0].get_xlim())
    assert len(limits) == 1


def test_static_form_shows_several_frames():
    bundle = diffusion_player()._repr_mimebundle_()
    assert "shown at times 1, " in bundle["text/plain"]
    assert "application/vnd.jupyter.widget-view+json" in bundle
    picture, frame = base64.b64decode(bundle["image/png"]), bytes(diffusion_player()._image.value)
    assert len(picture) > len(frame)


def test_bad_trajectories_are_named():
    with pytest.raises(ConfigError, match="no jet to play"):
        DiffusionPlayer(TIMES, {})
    with pytest.raises(FigureError, match="not finite"):
        DiffusionPlayer(TIMES, {"a": np.full((6, 5, 3), np.nan)})
    with pytest.raises(FigureError, match="shape"):
        DiffusionPlayer(TIMES, {"a": trajectory()[:2]})
