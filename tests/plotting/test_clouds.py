"""Arrows on molecules, and energies along a run."""

import numpy as np
import pytest
from omnilearn_lab.errors import FigureError
from omnilearn_lab.plotting.clouds import energy_along, halo_slice, molecule_forces, predicted_against_true
from omnilearn_lab.plotting.data import export_figure_data, read_figure_data

WATER = np.array([8, 1, 1]), np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])


def test_a_molecule_has_its_bonds_atoms_and_arrows():
    force = np.array([[0, 0, 8.0], [4.0, 0, 0], [0, -4.0, 0]])
    figure = molecule_forces(*WATER, {"true": force, "network": 0.5 * force}, source="GFN2-xTB")
    (ax,) = figure.axes
    bonds, arrows = ax.lines, [c for c in ax.collections if hasattr(c, "U")]
    assert len(bonds) == 2 and len(arrows) == 2
    lengths = np.hypot(arrows[0].U, arrows[0].V)
    assert lengths == pytest.approx([0, 1, 1], abs=1e-6)  # 4 eV/Angstrom each; out of the plane unseen
    assert np.hypot(arrows[1].U, arrows[1].V) == pytest.approx(0.5 * lengths)
    labels = {text.get_text() for text in ax.get_legend().get_texts()}
    assert labels == {"H", "O", "true", "network"}


def test_forces_that_do_not_fit_are_refused():
    with pytest.raises(FigureError, match="one for each atom; given: .'a': .2, 3"):
        molecule_forces(*WATER, {"a": np.zeros((2, 3))})
    with pytest.raises(FigureError, match="forces of shape"):
        molecule_forces(*WATER, {})
    with pytest.raises(FigureError, match="no runs"):
        energy_along({})


def test_energies_are_drawn_for_every_run():
    time = np.linspace(0.1, 1, 10)
    figure = energy_along({"exact": (time, 0 * time), "direct": (time, 200 * time)})
    (ax,) = figure.axes
    assert [line.get_label() for line in ax.lines] == ["exact", "direct"]
    assert ax.lines[1].get_ydata()[-1] == 200 and "ps" in ax.get_xlabel()


def test_arrows_and_points_carry_their_numbers(tmp_path):
    """What stands in the figure can be read back: where an arrow begins, its components, their units."""
    force = np.array([[0, 0, 8.0], [4.0, 0, 0], [0, -4.0, 0]])
    export_figure_data(molecule_forces(*WATER, {"true": force}), tmp_path / "atoms")
    (atoms,) = read_figure_data(tmp_path / "atoms").tables
    assert [column.name for column in atoms.independent] == ["Z", "x", "y", "z"]
    assert np.stack([column.values for column in atoms.dependent], 1) == pytest.approx(force)
    assert {column.unit for column in atoms.dependent} == {"eV/Angstrom"}
    points, speed = np.array([[1.0, 2, 3], [4, 5, 60]]), np.array([[100.0, 0, 0], [0, 1, 0]])
    (haloes,) = halo_slice(points, {"true": speed}, box=100, depth=10).figure_data.tables
    assert haloes.dependent[0].values.tolist() == [100] and len(haloes.independent[0]) == 1
    figure = predicted_against_true([1.0, 2.0], {"ridge": [1.5, 2.5]}, name=r"$\Omega_m$")
    (ridge,) = figure.figure_data.tables
    assert ridge.independent[1].name == "True Ω_m" and ridge.dependent[0].values.tolist() == [1.5, 2.5]
    runs = {"exact": ([0.1, 0.2], [0.0, 1.0]), "direct": ([0.1, 0.2], [5.0, 9.0])}
    assert energy_along(runs).figure_data["direct"].dependent[0].unit == "meV/atom"
