"""Figures and their numbers on disk: PNG, PDF, HEPData-style YAML and CSV."""

from __future__ import annotations

import contextlib
import csv
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from matplotlib.figure import Figure

from omnilearn_lab.errors import FigureError
from omnilearn_lab.plotting.data import Column, FigureData, Table, figure_data
from omnilearn_lab.plotting.style import house_style

__all__ = [
    "export_figure_data",
    "read_figure_data",
    "save_figure",
    "write_text",
]

_MISSING = "-"
_FORMATS = ("png", "pdf", "svg")


def save_figure(
    figure: Figure, path: str | Path, *, formats: Sequence[str] = ("png", "pdf"), dpi: float = 200
) -> tuple[Path, ...]:
    """Write a figure in several formats; an interrupted write leaves an older file as it was.

    Parameters
    ----------
    figure
    path
        File name without suffix; folders are made.
    formats
        Of ``"png"``, ``"pdf"``, ``"svg"``.
    dpi
        Dots per inch of the PNG.

    Returns
    -------
    tuple of Path
        The files, in the order of ``formats``. They hold no date: same figure, same bytes.

    Raises
    ------
    FigureError
        For an unknown format, or a path that cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from omnilearn_lab.plotting import loss_curves
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = save_figure(loss_curves({"scratch": ([1, 2], [0.5, 0.4])}), f"{folder}/loss")
    ...     [file.name for file in files]
    ['loss.png', 'loss.pdf']
    """
    unknown = [name for name in formats if name not in _FORMATS]
    if unknown or not formats:
        raise FigureError(f"formats {list(formats)} are not all known; choose from {', '.join(_FORMATS)}")
    return tuple(_save_one(figure, Path(f"{path}.{name}"), name, dpi) for name in formats)


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
        For a figure without numbers, or a folder that cannot be written.

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
    files = [write_text(folder / "submission.yaml", _dump_all([{"comment": alt_text}, *entries]))]
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
    try:
        entries = list(yaml.safe_load_all((folder / "submission.yaml").read_text()))[1:]
        return FigureData(tuple(_from_hepdata(folder, entry) for entry in entries))
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise FigureError(
            f"{folder} holds no readable figure export ({error}); export the figure again"
        ) from error


def _save_one(figure: Figure, path: Path, name: str, dpi: float) -> Path:
    alt_text = getattr(figure, "alt_text", "figure")
    metadata = {
        "png": {"Software": None, "Description": alt_text},
        "pdf": {"CreationDate": None, "Subject": alt_text},
        "svg": {"Date": None, "Description": alt_text},
    }[name]

    def write(temporary: Path) -> None:
        with house_style():
            figure.savefig(temporary, format=name, dpi=dpi, metadata=metadata)

    return _atomically(path, write)


def write_text(path: Path, text: str) -> Path:
    """Write a text file in one step: complete, or not at all."""
    return _atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _atomically(path: Path, write: Callable[[Path], Any]) -> Path:
    """Write beside the target, then rename."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
    except OSError as error:
        raise FigureError(f"cannot write {path}: {error.strerror}; choose another folder") from error
    try:
        write(Path(name))
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except OSError as error:
        raise FigureError(f"cannot write {path}: {error.strerror}; choose another folder") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
    return path


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


def _dump_all(documents: Sequence[Any]) -> str:
    return yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True)


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
    content = yaml.safe_load((folder / entry["data_file"]).read_text())
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
    import io

    columns: dict[str, Any] = {}
    for column in (*table.independent, *table.dependent):
        columns |= _csv_columns(column)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return buffer.getvalue()


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
