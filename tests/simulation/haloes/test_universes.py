"""Sets of universes: reproducible, resumable, in parallel, and evenly spread over the parameters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from omnilearn_lab.errors import ConfigError, SimulationError
from omnilearn_lab.simulation.haloes import universes as room
from omnilearn_lab.simulation.haloes.universes import (
    UNIVERSES,
    UniverseRecipe,
    cosmologies,
    simulate_one,
    simulate_universes,
)

TINY = UniverseRecipe("tiny", mesh=1, n_side=16, box=40.0, n_steps=2, linking=0.4, n_haloes=5)
RUN = {"workers": 1, "progress": False}


def test_universes_depend_on_seed_and_number_alone():
    few, more = simulate_universes(TINY, 2, **RUN), simulate_universes(TINY, 3, workers=2, progress=False)
    assert len(more) == 3 and more.position.shape == (3, 5, 3) and more.box == 40.0
    for name in ("position", "velocity", "size", "parameters"):
        np.testing.assert_array_equal(getattr(more, name)[:2], getattr(few, name))
    other = simulate_universes(TINY, 2, seed=2, **RUN)
    assert not np.array_equal(other.position, few.position) and (other.parameters != few.parameters).all()
    assert (np.diff(more.size, axis=1) <= 0).all() and more.size.min() >= 5
    assert ((more.position >= 0) & (more.position < 40.0)).all()


def test_cosmologies_fill_the_ranges_evenly():
    values = cosmologies(UNIVERSES["fine"], 64, seed=3)
    counts, _, _ = np.histogram2d(*values.T, bins=8, range=[(0.1, 0.5), (0.6, 1.0)])
    assert (counts == 1).all()  # a Sobol sequence of 64 points in 64 cells
    np.testing.assert_array_equal(cosmologies(UNIVERSES["fine"], 5, seed=3), values[:5])


def test_what_is_in_the_cache_is_not_made_again(tmp_path, monkeypatch):
    first = simulate_universes(TINY, 2, cache=tmp_path, **RUN)
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    damaged = folder / "000001.npz"
    damaged.write_bytes(damaged.read_bytes()[:100])
    made = []
    original = room.displacements
    monkeypatch.setattr(room, "displacements", lambda *a: made.append(1) or original(*a))
    again = simulate_universes(TINY, 3, cache=tmp_path, **RUN)
    assert len(made) == 2  # the damaged one and the new one
    np.testing.assert_array_equal(again.position[:2], first.position)


@pytest.mark.parametrize("change", [{"mesh": 2}, {"n_steps": 3}, {"linking": 0.3}, {"omega_m": (0.2, 0.5)}])
def test_digest_changes_with_the_physics(change):
    assert replace(TINY, **change).digest() != TINY.digest()


def test_impossible_requests_are_named():
    with pytest.raises(SimulationError, match="did you mean 'coarse'"):
        simulate_universes("course", 1)
    with pytest.raises(SimulationError, match="at least 1"):
        simulate_universes(TINY, 0)
    with pytest.raises(SimulationError, match="keep fewer"):
        simulate_one(replace(TINY, n_haloes=10_000), (0.3, 0.8), 1, 0)
    with pytest.raises(ConfigError, match="omega_m ranges from 0.5 to 0.1"):
        UniverseRecipe("a", omega_m=(0.5, 0.1))
    with pytest.raises(ConfigError, match="n_side is 7"):
        UniverseRecipe("a", n_side=7)


@pytest.mark.slow
def test_recipes_keep_their_haloes_everywhere_and_the_cheap_mesh_is_like_the_fine_one():
    extremes = [(0.1, 0.6), (0.5, 1.0)]
    for recipe in UNIVERSES.values():
        assert all(len(simulate_one(recipe, values, 1, 0)["size"]) == recipe.n_haloes for values in extremes)
    fine, coarse = (simulate_one(UNIVERSES[name], (0.3, 0.8), 1, 0) for name in ("fine", "coarse"))
    apart = fine["position"][:50, None] - coarse["position"][None, :100]
    distance = np.linalg.norm((apart + 50) % 100 - 50, axis=-1).min(axis=1)
    assert np.mean(distance < 1.0) > 0.8  # the same large haloes in the same places
