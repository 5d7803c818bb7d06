"""The recipes by name, and how to find one; a module put into this folder is found by itself."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from omnilearn_lab.errors import SimulationError, nearest
from omnilearn_lab.simulation.recipes.recipe import JetWindow, Profile, Recipe, Sample

__all__ = ["RECIPES", "JetWindow", "Profile", "Recipe", "Sample", "recipe"]

_MODULES = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {value.name: value for module in _MODULES for value in vars(module).values() if isinstance(value, Recipe)}
)
"""All recipes by name, in profile "quick"."""


def recipe(name: str, *, profile: str = "quick") -> Recipe:
    """Return a recipe by name.

    Parameters
    ----------
    name : str
    profile : "quick" or "production"
        ``quick`` leaves out multiple parton interactions, which makes it five to seven times faster.

    Returns
    -------
    Recipe

    Raises
    ------
    SimulationError
        For an unknown name or profile; the message names the nearest.

    Examples
    --------
    >>> recipe("jetclass").window.radius
    0.8
    """
    if name not in RECIPES:
        raise SimulationError(f"no recipe '{name}'; {nearest(name, RECIPES)}")
    return replace(RECIPES[name], profile=profile)
