"""Sets of molecules: reproducible, resumable, in parallel; the shipped one is what it says."""

from dataclasses import replace

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError, DataFileError, SimulationError
from omnilearn_lab.machine import read_arrays, write_arrays
from omnilearn_lab.simulation.molecules import sets as room
from omnilearn_lab.simulation.molecules.forces import TightBinding
from omnilearn_lab.simulation.molecules.sets import (
    MOLECULES,
    MoleculeRecipe,
    Molecules,
    read_molecules,
    shipped_molecules,
    simulate_molecules,
    write_molecules,
)

SMALL = MoleculeRecipe("small", heavy=(1, 2), n_vibrations=2, n_dynamics=1, interval=3)
RUN = {"workers": 1, "progress": False}
COLUMNS = ("numbers", "position", "force", "offsets", "energy", "molecule", "names")


@pytest.fixture
def extra():
    pytest.importorskip("rdkit")
    pytest.importorskip("tblite")


def test_molecules_depend_on_seed_and_number_alone(extra):
    few, more = simulate_molecules(SMALL, 2, **RUN), simulate_molecules(SMALL, 4, workers=2, progress=False)
    again = more.select(more.molecule < 2)
    for name in COLUMNS[:-1]:
        np.testing.assert_array_equal(getattr(again, name), getattr(few, name))
    assert len(more) == 12 and len(set(more.names)) == 4 and few.names.tolist() == more.names[:2].tolist()
    assert not np.array_equal(simulate_molecules(SMALL, 2, seed=2, **RUN).position, few.position)


def test_what_is_in_the_cache_is_not_made_again(extra, tmp_path, monkeypatch):
    first = simulate_molecules(SMALL, 2, cache=tmp_path, **RUN)
    kept = sorted(tmp_path.glob("molecules-small-*-seed1/*.npz"))
    kept[1].write_bytes(kept[1].read_bytes()[:100])
    made, original = [], room.relax
    monkeypatch.setattr(room, "relax", lambda *a: made.append(1) or original(*a))
    again = simulate_molecules(SMALL, 2, cache=tmp_path, **RUN)
    assert len(made) == 1
    np.testing.assert_array_equal(again.position, first.position)


def test_molecules_that_fail_are_left_out(extra, tmp_path, monkeypatch):
    every = simulate_molecules(SMALL, 3, **RUN)
    original = room.conformer

    def failing(smiles):
        if smiles == every.names[1]:
            raise SimulationError("no shape")
        return original(smiles)

    monkeypatch.setattr(room, "conformer", failing)
    for _ in range(2):  # made, and read
        less = simulate_molecules(SMALL, 2, cache=tmp_path, **RUN)
        assert less.names.tolist() == [every.names[0], every.names[2]]
    with pytest.raises(SimulationError, match="recipe 'small' has 10 molecules, fewer than 99"):
        simulate_molecules(SMALL, 99, cache=tmp_path, **RUN)


@pytest.mark.parametrize("change", [{"n_dynamics": 2}, {"temperatures": (200.0, 300.0)}, {"step": 0.5}])
def test_digest_changes_with_the_physics(change):
    assert replace(SMALL, **change).digest() != SMALL.digest()


def test_impossible_requests_are_named():
    with pytest.raises(SimulationError, match="did you mean 'organic'"):
        simulate_molecules("organics", 1)
    with pytest.raises(SimulationError, match="at least 1"):
        simulate_molecules(SMALL, 0)
    with pytest.raises(ConfigError, match="heavy is from 3 to 2"):
        MoleculeRecipe("a", heavy=(3, 2))
    with pytest.raises(ConfigError, match="needs a geometry"):
        MoleculeRecipe("a", n_vibrations=0, n_dynamics=0)


def test_the_shipped_set_is_what_it_says():
    molecules = shipped_molecules()
    assert len(molecules.names) == 160 and (np.bincount(molecules.molecule) == 16).all()
    assert molecules.provenance["digest"] == MOLECULES["organic"].digest()
    total = np.add.reduceat(molecules.force.astype(np.float64), molecules.offsets[:-1])
    assert np.abs(total).max() < 1e-4 and 1.0 < molecules.force.std() < 1.6
    assert set(molecules.numbers) == {1, 6, 7, 8}
    assert not {id(molecules.names)} & {id(shipped_molecules().names)}  # nobody changes it for others


def test_the_shipped_energies_are_those_of_tight_binding(extra):
    molecules = shipped_molecules()
    for number in (0, 1337):
        rows = molecules.atoms(number)
        energy, force = TightBinding(molecules.numbers[rows])(molecules.position[rows])
        assert energy == pytest.approx(molecules.energy[number], abs=1e-3)
        assert force == pytest.approx(molecules.force[rows], abs=5e-3)


def test_selected_geometries_keep_their_atoms(tmp_path):
    molecules = shipped_molecules()
    chosen = molecules.select(np.array([40, 3]))
    assert chosen.counts.tolist() == molecules.counts[[40, 3]].tolist()
    for name in ("numbers", "position", "force"):
        rows = [getattr(molecules, name)[molecules.atoms(i)] for i in (40, 3)]
        np.testing.assert_array_equal(getattr(chosen, name), np.concatenate(rows))
    back = read_molecules(write_molecules(chosen, tmp_path / "a.npz"))
    assert all(np.array_equal(getattr(back, name), getattr(chosen, name)) for name in COLUMNS)
    assert isinstance(back, Molecules) and back.provenance == chosen.provenance


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"jets")
    with pytest.raises(DataFileError, match="cannot be read"):
        read_molecules(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", jets=[1])
    with pytest.raises(DataFileError, match="is no set of molecules: it holds .'jets'."):
        read_molecules(tmp_path / "b.npz")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("energy", lambda values: values[:-1], "do not fit together"),
        ("force", lambda values: values[:, :2], "do not fit together"),
        ("offsets", lambda values: values[::-1], "do not fit together"),
        ("molecule", lambda values: values + 1000, "do not fit together"),
        ("numbers", lambda values: values + 20, "other atoms"),
        ("position", lambda values: values * np.nan, "not finite"),
        ("energy", lambda values: values.astype(str), "no set of molecules"),
        ("provenance", lambda values: np.array("{"), "no set of molecules"),
    ],
)
def test_sets_that_are_not_sound_are_refused(tmp_path, name, change, message):
    path = write_molecules(shipped_molecules().select(np.arange(3)), tmp_path / "a.npz")
    arrays = read_arrays(path)
    write_arrays(path, arrays | {name: change(arrays[name])})
    with pytest.raises(DataFileError, match=message):
        read_molecules(path)
