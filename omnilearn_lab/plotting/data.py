"""The numbers behind a figure: a few named tables that travel with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from omnilearn_lab.errors import FigureError, nearest

__all__ = [
    "Column",
    "FigureData",
    "Table",
    "attach_data",
    "figure_data",
    "titled_column",
]


@dataclass(frozen=True, eq=False)
class Column:
    """One variable of a table.

    Parameters
    ----------
    name : str
    values : array, shape (K,), or shape (K, 2) for the low and high edges of bins
        Numbers or texts.
    unit : str
    errors : mapping of label to array, shape (K,), or shape (K, 2) for (minus, plus)
        Uncertainties, such as ``{"stat": ..., "seeds": ...}``; all positive.
    """

    name: str
    values: np.ndarray
    unit: str = ""
    errors: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", np.asarray(self.values))
        object.__setattr__(self, "errors", {k: np.asarray(v, dtype=float) for k, v in self.errors.items()})
        for label, error in self.errors.items():
            if len(error) != len(self.values):
                raise FigureError(
                    f"column '{self.name}' has {len(self.values)} values and {len(error)} errors '{label}'"
                )

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, eq=False)
class Table:
    """One series of a figure: independent columns and what was measured at each of their values."""

    name: str
    independent: tuple[Column, ...]
    dependent: tuple[Column, ...]
    description: str = ""

    def __post_init__(self) -> None:
        lengths = {column.name: len(column) for column in (*self.independent, *self.dependent)}
        if len(set(lengths.values())) > 1:
            raise FigureError(f"table '{self.name}' has columns of different lengths: {lengths}")


@dataclass(frozen=True, eq=False)
class FigureData:
    """The tables behind one figure, addressed by name.

    Examples
    --------
    >>> table = Table("loss", (Column("epoch", [1, 2]),), (Column("loss", [0.5, 0.4]),))
    >>> data = FigureData((table,))
    >>> data["loss"].dependent[0].values
    array([0.5, 0.4])
    """

    tables: tuple[Table, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tables."""
        return tuple(table.name for table in self.tables)

    def __getitem__(self, name: str) -> Table:
        for table in self.tables:
            if table.name == name:
                return table
        raise FigureError(f"the figure has no table '{name}'; {nearest(name, self.names)}")


def figure_data(figure: Figure) -> FigureData:
    """Return the numbers that a figure of this package shows.

    Parameters
    ----------
    figure
        A figure returned by a function of `omnilearn_lab.plotting`.

    Returns
    -------
    FigureData

    Raises
    ------
    FigureError
        For a figure made elsewhere.

    Examples
    --------
    >>> from omnilearn_lab.plotting import loss_curves
    >>> figure = loss_curves({"scratch": [([1, 2, 3], [0.5, 0.4, 0.35])]})
    >>> figure_data(figure).names
    ('scratch',)
    """
    data = getattr(figure, "figure_data", None)
    if data is None:
        raise FigureError(
            "this figure carries no numbers; only figures made by omnilearn_lab.plotting do "
            "(attach_data adds tables to one of your own)"
        )
    return data


def titled_column(title: str, values: Any, errors: Mapping[str, Any] | None = None) -> Column:
    """Make a column from an axis title: ``"Time [s]"`` becomes name ``Time`` with unit ``s``."""
    name, _, unit = title.partition(" [")
    return Column(name, values, unit.rstrip("]"), errors or {})


def attach_data(figure: Any, *tables: Table) -> None:
    """Add tables to a figure; figures drawn into the same axes collect the tables of all calls."""
    earlier = getattr(figure, "figure_data", None) or FigureData()
    figure.figure_data = FigureData((*earlier.tables, *tables))
