"""``omnilearn-lab data verify``: are local files, and simulated stand-ins, what they should be?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnilearn_lab.cli.data import AsJson, DataDir, Split, Variant, data_app
from omnilearn_lab.cli.display import make_table, show, show_json
from omnilearn_lab.display import number
from omnilearn_lab.errors import ConfigError

if TYPE_CHECKING:
    from omnilearn_lab.catalog import MeanCheck, StandInCheck

__all__ = ["verify"]


@data_app.command()
def verify(
    name: Annotated[str | None, typer.Argument(help="a dataset of the catalogue")] = None,
    every: Annotated[bool, typer.Option("--all", help="simulate every stand-in and compare")] = False,
    split: Split = None,
    variant: Variant = None,
    data_dir: DataDir = None,
    n_jets: Annotated[int, typer.Option(help="with --all: jets per stand-in", min=2)] = 200,
    seed: Annotated[int, typer.Option(help="with --all: fixes the jets", min=0)] = 1,
    profile: Annotated[str, typer.Option(help="with --all: quick or production")] = "quick",
    as_json: AsJson = False,
) -> None:
    """Check the published files of a dataset, or with --all the stand-ins of all datasets.

    The exit status is 1 when a file is wrong or missing, or a stand-in cannot be made and read back.
    """
    if (name is None) is not every:
        raise ConfigError("name a dataset to check its files, or give --all to check all stand-ins")
    if name is not None:
        is_good = _verify_files(name, split, variant, data_dir=data_dir, as_json=as_json)
    else:
        is_good = _verify_stand_ins(n_jets, seed, profile, as_json=as_json)
    if not is_good:
        raise typer.Exit(1)


def _verify_files(
    name: str, split: str | None, variant: str | None, *, data_dir: Path | None, as_json: bool
) -> bool:
    from omnilearn_lab import catalog

    options = catalog.FetchOptions(data_dir=data_dir, variant=variant)
    found = catalog.verify(name, split=split, options=options)
    if as_json:
        show_json([asdict(status) for status in found])
    else:
        rows = [(status.name, status.state, status.detail) for status in found]
        show(make_table(f"files of {name}", ("file", "state", "detail"), rows))
    return all(status.is_here for status in found)


def _verify_stand_ins(n_jets: int, seed: int, profile: str, *, as_json: bool) -> bool:
    from omnilearn_lab.catalog import check_stand_ins

    found = list(check_stand_ins(None, n_jets, seed=seed, profile=profile))
    if as_json:
        show_json([_as_mapping(check) for check in found])
    else:
        title = f"simulated stand-ins, {n_jets} jets each, mean ± its error (published mean)"
        heads = ("dataset", "recipe", "jets/s", "jets/event", "pT [GeV]", "mass [GeV]", "multiplicity")
        show(make_table(title, heads, [_row(check) for check in found], numbers=5))
    return all(check.is_good for check in found)


def _as_mapping(check: StandInCheck) -> dict[str, Any]:
    means = {mean.observable: mean._asdict() | {"ratio": mean.ratio} for mean in check.means}
    return asdict(check) | {"what": check.what._asdict(), "means": means}


def _row(check: StandInCheck) -> Sequence[str]:
    name = f"{check.what.dataset} ({check.what.variant})" if check.what.variant else check.what.dataset
    if not check.is_good:
        return (name, check.what.recipe, "failed:", check.problem, "", "", "")
    efficiency = "" if check.jets_per_event is None else f"{check.jets_per_event:.2f}"
    rates = (f"{check.jets_per_second:.0f}", efficiency)
    return (name, check.what.recipe, *rates, *map(_mean, check.means))


def _mean(check: MeanCheck) -> str:
    text = number(check.mean, check.error)
    return text if check.published is None else f"{text} ({check.published:.4g})"
