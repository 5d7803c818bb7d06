"""Do the simulated stand-ins look like the published data? Mean values side by side."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from omnilearn_lab.catalog.entries import catalog
from omnilearn_lab.catalog.load import LoadOptions, load
from omnilearn_lab.errors import CatalogError, OmniLearnLabError, nearest
from omnilearn_lab.published import published_results
from omnilearn_lab.simulation import recipe

_PUBLISHED = {"pt": "jet_pt", "mass": "jet_mass", "multiplicity": "multiplicity"}


class StandIn(NamedTuple):
    """A dataset of the catalogue (in one of its variants) and the recipe that stands for it."""

    dataset: str
    variant: str
    recipe: str


class MeanCheck(NamedTuple):
    """A simulated mean beside the published one.

    Attributes
    ----------
    observable
        ``pt`` [GeV], ``mass`` [GeV] or ``multiplicity``.
    mean, error
        Of the simulated jets; the error is the standard deviation divided by the square root of N.
    published
        Mean of the published jets; none where it is not known.
    """

    observable: str
    mean: float
    error: float
    published: float | None = None

    @property
    def ratio(self) -> float | None:
        """Simulated over published mean."""
        return None if self.published is None else self.mean / self.published


@dataclass(frozen=True)
class StandInCheck:
    """What was found about one stand-in.

    Attributes
    ----------
    what : StandIn
    n_jets
    jets_per_second
        Per second of processor time of one core, the start of the generator included.
    jets_per_event
        Selection efficiency: jets kept per generated event, where it is known.
    means : tuple of MeanCheck
    problem
        Why the stand-in could not be simulated or read back; empty when all is well.

    Examples
    --------
    >>> StandInCheck(StandIn("h1_dis", "", "h1_dis"), problem="no jets").is_good
    False
    """

    what: StandIn
    n_jets: int = 0
    jets_per_second: float = 0.0
    jets_per_event: float | None = None
    means: tuple[MeanCheck, ...] = ()
    problem: str = ""

    @property
    def is_good(self) -> bool:
        """Whether the jets could be simulated and read back."""
        return not self.problem


def stand_ins(names: Iterable[str] | None = None) -> list[StandIn]:
    """Return the stand-ins of datasets, variants included.

    Parameters
    ----------
    names
        Datasets of the catalogue; none means all that have a stand-in.

    Raises
    ------
    CatalogError
        For an unknown dataset, or one without a stand-in.

    Examples
    --------
    >>> stand_ins(["quark_gluon"])[1]
    StandIn(dataset='quark_gluon', variant='herwig', recipe='quark_gluon_herwig')
    """
    view = catalog()
    with_recipe = [name for name in view if view[name].recipe]
    for name in names or ():
        if view[name].recipe is None:
            raise CatalogError(f"dataset '{name}' has no stand-in; {nearest(name, with_recipe)}")
    return [
        StandIn(name, variant, str(used))
        for name in (with_recipe if names is None else names)
        for variant, used in {"": view[name].recipe, **view[name].recipe_variants}.items()
    ]


def check_stand_ins(
    names: Iterable[str] | None = None, n_jets: int = 200, *, seed: int = 1, profile: str = "quick"
) -> Iterator[StandInCheck]:
    """Check stand-ins one after the other; a failure of one is reported and does not stop the others.

    Parameters
    ----------
    names
        Datasets of the catalogue; none means all.
    n_jets, seed, profile
        As in `check_stand_in`.

    Yields
    ------
    StandInCheck
    """
    for what in stand_ins(names):
        try:
            yield check_stand_in(what, n_jets, seed=seed, profile=profile)
        except OmniLearnLabError as error:
            yield StandInCheck(what, problem=str(error))


def check_stand_in(
    what: StandIn, n_jets: int = 200, *, seed: int = 1, profile: str = "quick"
) -> StandInCheck:
    """Simulate jets of a stand-in in this process, read them back from disk and compare their means.

    Parameters
    ----------
    what
        See `stand_ins`.
    n_jets
        Rounded up where the recipe makes jets in pairs.
    seed
        Fixes the jets.
    profile
        ``quick`` or ``production``.

    Returns
    -------
    StandInCheck

    Raises
    ------
    SimulationError
        When the jets cannot be simulated.
    DataFileError
        When they cannot be written or read back.

    References
    ----------
    Published means: table ``jet_moments`` of `omnilearn_lab.published.published_results`.
    """
    n_jets += -n_jets % recipe(what.recipe).jets_per_unit
    work = {"workers": 1, "progress": False}
    with tempfile.TemporaryDirectory() as folder:
        options = LoadOptions(data_dir=folder, variant=what.variant or None, profile=profile, simulation=work)
        start = time.process_time()
        jets = load(what.dataset, source="simulated", max_jets=n_jets, seed=seed, options=options)
        seconds = time.process_time() - start
    n_events, published = jets.provenance.get("n_events"), _published_means(what)
    means = [
        MeanCheck(name, float(values.mean()), float(values.std()) / len(jets) ** 0.5, published.get(name))
        for name, values in ((name, jets.jet[name]) for name in _PUBLISHED)
    ]
    return StandInCheck(
        what, len(jets), len(jets) / seconds, len(jets) / n_events if n_events else None, tuple(means)
    )


def _published_means(what: StandIn) -> dict[str, float]:
    """Means of the published jets by our name; none for variants and for datasets without a row."""
    table = published_results("jet_moments")
    if what.variant or what.dataset not in table.algorithms:
        return {}
    return {ours: table.number(what.dataset, theirs).value for ours, theirs in _PUBLISHED.items()}
