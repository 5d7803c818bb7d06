"""The numbers behind a figure: named tables that travel with it, and their HEPData-style files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure

from omnilearn_lab.errors import FigureError, nearest, translated
from omnilearn_lab.machine import make_folder, write_text
from omnilearn_lab.settings import load_yaml

_MISSING = "-"


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

    @classmethod
    def of(cls, name: str, *columns: tuple[Any, ...], note: str = "", independent: int = 1) -> Table:
        """Make a table of columns (title, values) or (title, values, errors), independent ones first."""
        made = tuple(titled_column(*column) for column in columns)
        return cls(name, made[:independent], made[independent:], note)

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


def export_figure_data(figure: Figure, folder: str | Path) -> tuple[Path, ...]:
    """Write the numbers behind a figure as HEPData-style YAML and as CSV.

    ``submission.yaml`` lists the tables; each has a YAML file of independent and dependent
    variables with labelled uncertainties, as HEPData submissions do, and a CSV file.

    Parameters
    ----------
    figure
        A figure made by this package.
    folder
        Made if needed.

    Returns
    -------
    tuple of Path
        All files, ``submission.yaml`` first.

    Raises
    ------
    FigureError
        For a figure without numbers.
    DataFileError
        For a folder that cannot be written.

    References
    ----------
    HEPData submission format, https://hepdata-submission.readthedocs.io

    Examples
    --------
    >>> import tempfile
    >>> from omnilearn_lab.plotting import loss_curves
    >>> figure = loss_curves({"scratch": ([1, 2], [0.5, 0.4])})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = export_figure_data(figure, folder)
    ...     [file.name for file in files], read_figure_data(folder).names
    (['submission.yaml', 'scratch.yaml', 'scratch.csv'], ('scratch',))
    """
    tables = figure_data(figure).tables
    if not tables:
        raise FigureError("the figure carries no table to export")
    folder = Path(folder)
    stems = _file_stems(tables)
    entries = [_submission_entry(table, stem) for table, stem in zip(tables, stems, strict=True)]
    alt_text = getattr(figure, "alt_text", "figure")
    head = yaml.safe_dump_all([{"comment": alt_text}, *entries], sort_keys=False, allow_unicode=True)
    files = [write_text(make_folder(folder) / "submission.yaml", head)]
    for table, stem in zip(tables, stems, strict=True):
        files.append(write_text(folder / f"{stem}.yaml", yaml.safe_dump(_to_hepdata(table), sort_keys=False)))
        files.append(write_text(folder / f"{stem}.csv", _to_csv(table)))
    return tuple(files)


def read_figure_data(folder: str | Path) -> FigureData:
    """Read back what `export_figure_data` wrote.

    Raises
    ------
    FigureError
        When the folder holds no readable submission.
    """
    folder = Path(folder)
    with translated(FigureError, f"'{folder}' holds no readable figure export", "export the figure again"):
        entries = list(yaml.safe_load_all((folder / "submission.yaml").read_text()))[1:]
        return FigureData(tuple(_from_hepdata(folder, entry) for entry in entries))


def _file_stems(tables: Sequence[Table]) -> list[str]:
    """Return a file name per table: plain characters, no two the same."""
    stems: list[str] = []
    for table in tables:
        plain = "".join(c if c.isalnum() or c in "-." else "_" for c in table.name).strip("._")
        stem = plain or "table"
        count = 2
        while stem.lower() in {s.lower() for s in stems} or stem.lower() == "submission":
            stem, count = f"{plain or 'table'}_{count}", count + 1
        stems.append(stem)
    return stems


def _submission_entry(table: Table, stem: str) -> dict[str, Any]:
    return {
        "name": table.name,
        "description": table.description or table.name,
        "keywords": [{"name": "observables", "values": [column.name for column in table.dependent]}],
        "data_file": f"{stem}.yaml",
    }


def _to_hepdata(table: Table) -> dict[str, Any]:
    return {
        "independent_variables": [_variable(column) for column in table.independent],
        "dependent_variables": [_variable(column) for column in table.dependent],
    }


def _variable(column: Column) -> dict[str, Any]:
    header = {"name": column.name} | ({"units": column.unit} if column.unit else {})
    return {"header": header, "values": [_cell(column, i) for i in range(len(column))]}


def _cell(column: Column, i: int) -> dict[str, Any]:
    value = column.values[i]
    if np.ndim(value) == 1:
        return {"low": _plain(value[0]), "high": _plain(value[1])}
    errors = [_error(label, error[i]) for label, error in column.errors.items()]
    return {"value": _plain(value)} | ({"errors": errors} if errors else {})


def _error(label: str, error: Any) -> dict[str, Any]:
    if np.ndim(error) == 1:
        return {"asymerror": {"minus": _plain(-error[0]), "plus": _plain(error[1])}, "label": label}
    return {"symerror": _plain(error), "label": label}


def _plain(value: Any) -> Any:
    item = value.item() if isinstance(value, np.generic) else value
    return _MISSING if isinstance(item, float) and not np.isfinite(item) else item


def _number(value: Any) -> Any:
    return np.nan if value == _MISSING else value


def _from_hepdata(folder: Path, entry: dict[str, Any]) -> Table:
    content = load_yaml(folder / Path(entry["data_file"]).name)
    independent = tuple(_column(v) for v in content["independent_variables"])
    dependent = tuple(_column(v) for v in content["dependent_variables"])
    return Table(entry["name"], independent, dependent, entry["description"])


def _column(variable: dict[str, Any]) -> Column:
    cells, header = variable["values"], variable["header"]
    values = [[_number(c["low"]), _number(c["high"])] if "low" in c else _number(c["value"]) for c in cells]
    labels = [error["label"] for error in cells[0].get("errors", [])] if cells else []
    errors = {label: [_read_error(c["errors"][i]) for c in cells] for i, label in enumerate(labels)}
    return Column(header["name"], np.array(values), header.get("units", ""), errors)


def _read_error(error: dict[str, Any]) -> Any:
    if "symerror" in error:
        return _number(error["symerror"])
    both = error["asymerror"]
    return [-_number(both["minus"]), _number(both["plus"])]


def _to_csv(table: Table) -> str:
    columns: dict[str, Any] = {}
    for column in (*table.independent, *table.dependent):
        columns |= _csv_columns(column)
    return pd.DataFrame(columns).to_csv(index=False, lineterminator="\n")


def _csv_columns(column: Column) -> dict[str, list[Any]]:
    title = f"{column.name} [{column.unit}]" if column.unit else column.name
    values = (
        {f"{title} low": column.values[:, 0], f"{title} high": column.values[:, 1]}
        if column.values.ndim == 2
        else {title: column.values}
    )
    for label, error in column.errors.items():
        if error.ndim == 2:
            values |= {f"{title} {label} minus": error[:, 0], f"{title} {label} plus": error[:, 1]}
        else:
            values[f"{title} {label}"] = error
    return {name: [_plain(v) for v in array] for name, array in values.items()}
