import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.widgets import JetViewer

from . import samples
from .samples import PROBABILITIES


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
    for name in ("mass", "multiplicity", "tau_21"):
        assert name in text


def test_picture_changes_with_the_jet(jets):
    view = JetViewer(jets)
    before = view._image.value
    view.set(index=2)
    assert view._image.value != before


def test_without_probabilities_there_is_nothing_misclassified(jets):
    view = JetViewer(jets)
    assert view.controls["misclassified"].disabled


def test_wrong_number_of_probabilities(jets):
    with pytest.raises(ConfigError, match="5 jets, but probabilities of shape \\(2, 2\\)"):
        JetViewer(jets, probabilities=PROBABILITIES[:2])


def test_no_jets(jets):
    with pytest.raises(ConfigError, match="no jets"):
        JetViewer(jets[:0])
