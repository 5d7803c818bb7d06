import numpy as np
import pytest
from omnilearn_lab.errors import JetsError
from omnilearn_lab.jets import Jets
from omnilearn_lab.tasks.tagging.jet_classes import (
    by_class,
    class_table,
    displaced_particles,
    lepton_fraction,
)

AXIS = {"pt": [3.0, 2.0], "eta": [0, 0], "phi": [0, 0], "mass": [0, 0]}


def two_jets(**columns):
    """A jet of two particles and a jet of one."""
    base = {"deta": [0, 0.1, 0], "dphi": [0, 0, 0], "pt": [2, 1, 2], "energy": [2, 1, 2]}
    return Jets.build(base | columns, [0, 2, 3], AXIS | {"label": [1, 0]}, class_names=["a", "b", "c"])


def test_displaced_particles_are_counted_by_hand():
    jets = two_jets(d0=[-0.5, 0.2, 9.0], d0_err=[0.1, 0.1, 0.0])  # the last one has no track
    assert displaced_particles(jets).tolist() == [1, 0]
    assert displaced_particles(jets, significance=1.9).tolist() == [2, 0]


def test_lepton_fraction_is_that_of_the_momentum():
    assert lepton_fraction(two_jets(pid=[211, -13, 11])) == pytest.approx([1 / 3, 1])


def test_missing_columns_are_named():
    with pytest.raises(JetsError, match="d0_err"):
        displaced_particles(two_jets(d0=[1, 1, 1]))
    with pytest.raises(JetsError, match="species"):
        lepton_fraction(two_jets())


def test_classes_without_jets_are_left_out():
    parts = by_class(two_jets())
    assert {name: len(part) for name, part in parts.items()} == {"a": 1, "b": 1}
    assert parts["a"].label.tolist() == [0]


def test_table_has_a_row_per_class(jets):
    table = class_table(jets)
    assert table["jets"].sum() == len(jets)
    first = jets[jets.label == 0]
    assert table.loc["class 0", "multiplicity"] == np.median(first.counts)
    assert table.loc["class 0", "displaced particles"] == pytest.approx(
        displaced_particles(first).mean(), abs=0.01
    )


def test_table_without_tracks_and_species():
    assert "displaced particles" not in class_table(two_jets())
