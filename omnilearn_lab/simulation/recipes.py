"""What a recipe is: settings of a simulated dataset, and nothing else: all are in ``recipes.yaml``."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import Field

from omnilearn_lab.errors import SimulationError, nearest
from omnilearn_lab.settings import from_mapping, load_yaml, settings
from omnilearn_lab.simulation.cards import CARDS

_LAYOUT_VERSION = 2  # of the code that turns settings into jets; raise it when the jets change
_NOT_PHYSICS = ("title", "reference", "published")


@settings
class Sample:
    """One process: Pythia strings, and how its jets are chosen and labelled.

    Parameters
    ----------
    name : str
    settings : tuple of str
        Pythia strings, read after those of the recipe and of the profile.
    label : str
        Class name; the sample's name when empty.
    fraction : float
        Relative number of jets.
    variants : tuple of tuple of str
        Further strings; jets of the variants alternate (both signs of a leptonic W, say).
    matched : bool
        Keep only jets that hold all visible decay products of one resonance.
    max_jets : int
        How many of the hardest jets of an event are looked at.
    drop_outgoing : tuple of int
        Events whose hard process emits one of these quarks (absolute PDG codes) are left out.
    """

    name: str
    settings: tuple[str, ...]
    label: str = ""
    fraction: float = 1.0
    variants: tuple[tuple[str, ...], ...] = ((),)
    matched: bool = False
    max_jets: int = 2
    drop_outgoing: tuple[int, ...] = ()

    @property
    def class_name(self) -> str:
        """The class these jets belong to."""
        return self.label or self.name


@settings
class JetWindow:
    """Jet definition and acceptance: algorithm, radius, pt [GeV] and pseudorapidity (or rapidity) range."""

    radius: float
    pt: tuple[float, Annotated[float, Field(allow_inf_nan=True)]]
    eta: tuple[float, float]
    algorithm: str = "antikt"
    use_rapidity: bool = False


@settings
class Profile:
    """A trade between speed and realism.

    Parameters
    ----------
    settings : tuple of str
        Pythia strings such as ``PartonLevel:MPI=off``.
    min_pt : float
        Smallest pt of a constituent before clustering [GeV].
    """

    settings: tuple[str, ...] = ()
    min_pt: float = 0.0


@settings
class Recipe:
    """Everything that fixes the jets of a simulated dataset, but their number and the seed.

    Parameters
    ----------
    name, title : str
    samples : tuple of Sample
    window : JetWindow
    settings : tuple of str
        Pythia strings shared by all samples.
    selector : str
        The way from events to jets, see `omnilearn_lab.simulation.selection`.
    detector : str
        Name of a detector card; empty for particle level.
    match_radius : float
        Decay products must lie this close to the jet axis.
    resonances : tuple of int
        Absolute PDG codes of the decaying particles that matching knows.
    classes : tuple of str
        Class names; those of the samples, in order, when empty.
    max_constituents : int
        The hardest ones are kept.
    impact_parameters : bool
        Keep d0, dz and their resolutions.
    count_kept : bool
        ``multiplicity`` counts the constituents that are kept, instead of all.
    weighting : "", "bias" or "equal_pt"
        Jets carry ``weight``: that of a biased phase space, or one that makes the pt spectra of the
        classes equal (to a flat spectrum in ln pt).
    quick, production : Profile
    profile : "quick" or "production"
        The one in use.
    version : str
        Raised when a setting changes the physics on purpose.
    published : tuple of (name, mean, spread)
        Moments of the published dataset, for comparison.
    reference : str
        arXiv number of the dataset this recipe stands for.

    Examples
    --------
    >>> from omnilearn_lab.simulation import recipe
    >>> recipe("top_tagging").class_names
    ('qcd', 'top')
    >>> recipe("jetclass").digest() == recipe("jetclass", profile="production").digest()
    False
    """

    name: str
    title: str
    samples: tuple[Sample, ...]
    window: JetWindow
    settings: tuple[str, ...] = ()
    selector: str = "jets"
    detector: str = ""
    match_radius: float = 0.8
    resonances: tuple[int, ...] = (6, 23, 24, 25)
    classes: tuple[str, ...] = ()
    max_constituents: int = 1000
    impact_parameters: bool = False
    count_kept: bool = False
    weighting: str = ""
    quick: Profile = Profile(("PartonLevel:MPI=off",))
    production: Profile = Profile()
    profile: str = "quick"
    version: str = "1"
    published: tuple[tuple[str, float, float], ...] = ()
    reference: str = ""

    def __post_init__(self) -> None:
        if self.profile not in ("quick", "production"):
            raise SimulationError(
                f"no profile '{self.profile}'; {nearest(self.profile, ('quick', 'production'))}"
            )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes; labels are positions in this tuple."""
        return self.classes or tuple(dict.fromkeys(s.class_name for s in self.samples))

    @property
    def active(self) -> Profile:
        """The profile in use."""
        return self.production if self.profile == "production" else self.quick

    @property
    def jets_per_unit(self) -> int:
        """2 where jets come in pairs of one event, else 1."""
        return 2 if self.selector == "dijets" else 1

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the batches of jets one simulation yields."""
        return ("detector", "truth") if self.selector == "z_jets" else ("jets",)

    def digest(self) -> str:
        """Return twelve hexadecimal digits that change with any setting that changes the jets."""
        values = {k: v for k, v in dataclasses.asdict(self).items() if k not in _NOT_PHYSICS}
        for unused in ("quick", "production"):
            del values[unused]
        values |= {"active": dataclasses.asdict(self.active), "layout": _LAYOUT_VERSION}
        if self.detector in CARDS:
            values["card"] = dataclasses.asdict(CARDS[self.detector])
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def read_recipes(path: Path) -> Mapping[str, Recipe]:
    """Return the recipes of a file, in profile "quick".

    Parameters
    ----------
    path : Path
        YAML with ``shared`` lists of Pythia strings and ``recipes`` by name; see the head of ours.

    Raises
    ------
    ConfigError, SimulationError
        For a file, a key, or the name of a shared list that is not right.
    """
    content = load_yaml(path)
    shared, entries, made = content["shared"], content["recipes"], {}
    for name, entry in entries.items():
        values = {**entries[entry["base"]], **entry} if "base" in entry else dict(entry)
        values.pop("base", None)
        made[name] = from_mapping(Recipe, {"name": name, **_spelled_out(values, shared)})
    return MappingProxyType(made)


def _spelled_out(values: Mapping[str, Any], shared: Mapping[str, list[str]]) -> dict[str, Any]:
    """The same settings with the shared lists of strings in the place of their names."""
    out = dict(values)
    for key, value in values.items():
        if key == "settings":
            out[key] = tuple(_strings(value, shared))
        elif key == "variants":
            out[key] = tuple(tuple(_strings(variant, shared)) for variant in value)
        elif key == "samples":
            out[key] = [_spelled_out(sample, shared) for sample in value]
        elif key in ("quick", "production"):
            out[key] = _spelled_out(value, shared)
    return out


def _strings(items: Iterable[str], shared: Mapping[str, list[str]]) -> Iterable[str]:
    for item in items:
        name, *values = item.split()
        if name in shared:
            yield from _strings([line.format(*values) for line in shared[name]], shared)
        elif ":" in name:
            yield item
        else:
            raise SimulationError(
                f"'{item}' is no string of Pythia and no shared list; {nearest(name, shared)}"
            )


RECIPES: Mapping[str, Recipe] = read_recipes(Path(__file__).with_suffix(".yaml"))
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
