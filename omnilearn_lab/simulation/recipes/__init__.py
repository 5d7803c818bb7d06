"""The recipes by name, and how to find one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from omnilearn_lab.errors import SimulationError, nearest
from omnilearn_lab.simulation.recipes.recipe import JetWindow, Profile, Recipe, Sample
from omnilearn_lab.simulation.recipes.searches import (
    ASPEN,
    ASPEN_SEARCH,
    ATLAS_FLAVOUR,
    ATLAS_TOP,
    CMS_BSM,
    CMS_QCD,
    JETCLASS2,
    LHCO,
    LHCO_SIGNAL_REGION,
)
from omnilearn_lab.simulation.recipes.small_jets import (
    CMS_OPEN_DATA,
    CMS_OPEN_DATA_DATA,
    CMS_OPEN_DATA_FAST,
    H1_DIS,
    JETNET30,
    JETNET150,
    OMNIFOLD_ZJETS,
    QUARK_GLUON,
    QUARK_GLUON_HERWIG,
)
from omnilearn_lab.simulation.recipes.tagging import JETCLASS, TOP_TAGGING

__all__ = ["RECIPES", "JetWindow", "Profile", "Recipe", "Sample", "recipe"]

_ALL = (
    *(JETCLASS, JETCLASS2, TOP_TAGGING, ATLAS_TOP, QUARK_GLUON, QUARK_GLUON_HERWIG),
    *(CMS_OPEN_DATA, CMS_OPEN_DATA_FAST, CMS_OPEN_DATA_DATA, H1_DIS, JETNET30, JETNET150),
    *(OMNIFOLD_ZJETS, LHCO, LHCO_SIGNAL_REGION, ASPEN, ASPEN_SEARCH, CMS_QCD, CMS_BSM, ATLAS_FLAVOUR),
)
RECIPES: Mapping[str, Recipe] = MappingProxyType({r.name: r for r in _ALL})
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
