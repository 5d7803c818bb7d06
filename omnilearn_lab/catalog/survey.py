"""A look at every simulated stand-in: how fast it is made, and how near it is to the published jets."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from omnilearn_lab.catalog.entries import catalog
from omnilearn_lab.catalog.load import LoadOptions, load
from omnilearn_lab.errors import CatalogError

__all__ = ["Moments", "SurveyRow", "survey"]


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation."""

    mean: float
    spread: float


@dataclass(frozen=True)
class SurveyRow:
    """One stand-in.

    Attributes
    ----------
    name
        Dataset.
    n_jets
    jets_per_second
        Including the start of the simulation; of all its processes together.
    jets_per_event
        Selection efficiency: jets kept per simulated event, where the simulation counts them.
    simulated, published
        Moments of ``pt``, ``mass`` [GeV] and ``multiplicity``; published ones where known.
    """

    name: str
    n_jets: int
    jets_per_second: float
    jets_per_event: float | None
    simulated: dict[str, Moments]
    published: dict[str, Moments] = field(default_factory=dict)


def survey(
    names: Iterable[str] | None = None,
    *,
    n_jets: int = 200,
    seed: int = 1,
    options: LoadOptions | None = None,
) -> list[SurveyRow]:
    """Simulate a few jets of every stand-in, read them back, and summarise them.

    Parameters
    ----------
    names
        Datasets; all that have a stand-in by default.
    n_jets
        Jets of each.
    seed
    options
        As for `load`; use an empty data folder, else cached jets are timed.

    Returns
    -------
    list of SurveyRow

    Raises
    ------
    CatalogError
        For a dataset without stand-in.
    """
    view = catalog((options or LoadOptions()).catalog_file)
    chosen = [name for name in view if view[name].recipe] if names is None else list(names)
    return [_row(name, str(view[name].recipe or ""), n_jets, seed, options) for name in chosen]


def _row(name: str, recipe: str, n_jets: int, seed: int, options: LoadOptions | None) -> SurveyRow:
    from omnilearn_lab.simulation import RECIPES

    if not recipe:
        raise CatalogError(f"dataset '{name}' has no simulated stand-in")
    begin = time.perf_counter()
    jets = load(name, source="simulated", max_jets=n_jets, seed=seed, options=options)
    seconds = time.perf_counter() - begin
    events = jets.provenance.get("n_events")
    return SurveyRow(
        name,
        len(jets),
        len(jets) / seconds,
        len(jets) / events if events else None,
        {key: Moments(float(jets.jet[key].mean()), float(jets.jet[key].std())) for key in _KEYS},
        {key: Moments(mean, spread) for key, mean, spread in RECIPES[recipe].published},
    )


_KEYS = ("pt", "mass", "multiplicity")
