"""The explorer: choices that depend on each other, and the jet that a click finds."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.training import History
from omnilearn_lab.widgets import Explored, Explorer
from omnilearn_lab.widgets.explorer import principal_axes

from .samples import explored, explorer, jets


@pytest.fixture(scope="module")
def view():
    return explorer()


def place(view, index):
    """Where a jet stands in the picture, as fractions from the left and from above."""
    figure = view._shown.figure
    x, y = figure.axes[2].transData.transform(view.points[index]) / [figure.bbox.width, figure.bbox.height]
    return x, 1 - y


def test_a_click_on_the_map_shows_the_jet_there(view):
    before = view._image.value
    for index in (17, 4):
        view._position.value = "{} {}".format(*place(view, index))
        assert view.viewer.value("index") == index
        assert view.viewer.summary.startswith("Jet of 30 particles")
    assert view._image.value != before  # the ring has moved
    view._position.value = "0.01 0.01"
    view._position.value = "nonsense"
    assert view.viewer.value("index") == 4


def test_a_step_to_the_next_misclassified_jet_moves_the_ring(view):
    before = view._image.value
    view.viewer.controls["misclassified"].click()
    assert view._image.value != before
    assert view.nearest(*place(view, view.viewer.value("index"))) == view.viewer.value("index")


def test_what_can_be_chosen_depends_on_task_and_checkpoint(view):
    view.set(task="quarks", checkpoint="v2_tiny")
    assert [value for _, value in view.controls["arm"].options] == ["frozen"]
    assert "frozen body" in view.summary
    view.set(task="tops")
    assert view.value("checkpoint") == "tiny" and view.value("arm") == "scratch"
    assert view.viewer.probabilities is view.explored.probabilities["scratch"][0]
    view.set(arm="finetuned", seed=1)
    assert view.viewer.probabilities is view.explored.probabilities["finetuned"][1]
    assert "fine-tuned" in view.summary and "finetuned" not in view.summary


def test_fitted_classifiers_are_asked():
    sample = jets(10)
    one = SimpleNamespace(
        predict_proba=lambda some: np.full((len(some), 2), 0.5),
        transform=lambda some: np.random.default_rng(0).normal(size=(len(some), 4)),
        history_=History(),
    )
    made = Explored.of(sample, {"frozen": [one]})
    assert made.embeddings["frozen"][0].shape == (10, 4)
    view = Explorer({"task": {"tiny": made}})  # without any record there are no losses to draw
    assert not view._shown.figure.axes[0].axison


def test_a_comparison_gives_all_arms_one_map():
    sample = jets(10)
    trained = SimpleNamespace(probabilities=np.full((40, 2), 0.5), history=History())
    frozen = SimpleNamespace(probabilities=np.full((40, 2), 0.5), history=None)
    comparison = SimpleNamespace(results={"scratch": (trained, trained), "frozen": (frozen, frozen)})
    rows = np.random.default_rng(0).normal(size=(10, 4))
    made = Explored.of_comparison(comparison, sample, rows)
    assert made.embeddings["frozen"][1] is rows and len(made.probabilities["scratch"][0]) == 10
    assert Explorer({"task": {"tiny": made}}).viewer.jets is sample


def test_principal_axes_keep_distances_along_the_widest_directions():
    rng = np.random.default_rng(0)
    plane, turn = rng.normal(0, (5, 2), (200, 2)), np.linalg.qr(rng.normal(size=(6, 6)))[0]
    rows = np.pad(plane, ((0, 0), (0, 4))) @ turn
    found = principal_axes(rows)
    np.testing.assert_allclose(
        np.linalg.norm(found[:50] - found[50:100], axis=1),
        np.linalg.norm(plane[:50] - plane[50:100], axis=1),
    )
    assert found[:, 0].std() > found[:, 1].std()


def test_what_does_not_fit_is_named():
    good = explored({"scratch": 1.0})
    with pytest.raises(ConfigError, match="nothing to explore"):
        Explorer({})
    with pytest.raises(ConfigError, match="each of 2 seeds"):
        Explored(good.jets, good.probabilities, {}, good.embeddings)
    with pytest.raises(ConfigError, match="40 rows for 39 jets"):
        Explored(good.jets[:39], good.probabilities, good.histories, good.embeddings)
