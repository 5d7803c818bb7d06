import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError
from omnilearn_lab.jets import Jets
from omnilearn_lab.widgets import JetViewer


@pytest.fixture(scope="module")
def jets():
    rng = np.random.default_rng(1)
    n = 5
    cloud = {name: rng.normal(0, 0.2, 4 * n) for name in ("deta", "dphi")}
    cloud |= {"pt": rng.uniform(10, 100, 4 * n)}
    cloud["energy"] = 1.2 * cloud["pt"]
    jet = {"pt": np.full(n, 250.0), "eta": np.zeros(n), "phi": np.zeros(n), "mass": np.full(n, 60.0)}
    return Jets.build(
        cloud, 4 * np.arange(n + 1), jet | {"label": [0, 1, 0, 1, 0]}, class_names=("QCD", "top")
    )


PROBABILITIES = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.1, 0.9]])


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
