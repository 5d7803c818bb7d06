"""Jets one by one, and jets on their way from noise."""

import base64

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError, FigureError
from omnilearn_lab.widgets import DiffusionPlayer, JetViewer

from . import samples
from .samples import PROBABILITIES, TIMES, diffusion_player, trajectory


@pytest.fixture(scope="module")
def jets():
    return samples.jets()


def test_next_misclassified_goes_round(jets):
    view = JetViewer(jets, probabilities=PROBABILITIES)
    visited = []
    for _ in range(3):
        view.controls["misclassified"].click()
        visited.append(view.value("index"))
    assert visited == [1, 4, 1]


def test_next_stops_at_the_chosen_class(jets):
    view = JetViewer(jets, probabilities=PROBABILITIES)
    view.set(**{"class": 1})
    view.controls["next"].click()
    view.controls["next"].click()
    assert view.value("index") == 3
    assert "<td>top</td>" in view._text.value


def test_details_show_the_three_most_probable_classes_and_observables(jets):
    text = JetViewer(jets, probabilities=PROBABILITIES).details()
    assert "QCD 0.900, top 0.100" in text
    for name in ("<td>m</td>", "<td>N</td>", "τ₂₁"):
        assert name in text


def test_without_probabilities_there_is_nothing_misclassified(jets):
    view = JetViewer(jets)
    assert view.controls["misclassified"].disabled


def test_wrong_number_of_probabilities(jets):
    with pytest.raises(ConfigError, match="5 jets, but probabilities of shape \\(2, 2\\)"):
        JetViewer(jets, probabilities=PROBABILITIES[:2])


def test_no_jets(jets):
    with pytest.raises(ConfigError, match="no jets"):
        JetViewer(jets[:0])


LAST = len(TIMES) - 1


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
