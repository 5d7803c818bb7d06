"""The tables of the papers as data: read once, checked, shown beside own results."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import yaml

from omnilearn_lab.display import html_table, number
from omnilearn_lab.errors import ConfigError, nearest

if TYPE_CHECKING:
    import pandas as pd


EVIDENCE = ("printed", "source code", "read off a figure", "third party", "unverified")
OWN = "this work"  # the mark of rows added by join()


@dataclass(frozen=True)
class PublishedNumber:
    """One cell of a published table.

    Parameters
    ----------
    algorithm, metric
        Row and column.
    value, uncertainty
        As printed, in units of ``scale``; NaN where the paper gives none. For a printed range the
        middle of it.
    printed
        The text of the cell, digits kept.
    subset
        Jet class, observable, ... ; empty for a plain table.
    scale
        Multiply value and uncertainty by it for the plain number (1e-3 for "x 10^-3" columns).
    source
        Paper, arXiv number and table.
    evidence
        "printed", "source code", "read off a figure", "third party" (quoted by others), "unverified"
        (check before use), or "this work" for rows added by `PublishedTable.join`.
    is_limit
        Own results only: a lower limit, since too little background was left.
    """

    algorithm: str
    metric: str
    value: float
    uncertainty: float
    printed: str
    subset: str = ""
    scale: float = 1.0
    source: str = ""
    evidence: str = "printed"
    is_limit: bool = False

    @property
    def is_unverified(self) -> bool:
        """True when the number must be checked against its source before it is quoted."""
        return self.evidence == "unverified"

    def __str__(self) -> str:
        return f"{self.printed} (unverified)" if self.is_unverified else self.printed


@dataclass(frozen=True, repr=False)
class PublishedTable:
    """A table of published results; renders in Jupyter, and takes your own rows beside the paper's.

    Parameters
    ----------
    key, title, dataset
        Its name here, what it shows, and the catalogue key of its dataset.
    numbers
        All cells, row by row.
    labels
        Column heading of each metric, in order.
    note
        Remarks on the table.
    """

    key: str
    title: str
    dataset: str
    numbers: tuple[PublishedNumber, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    def __iter__(self) -> Iterator[PublishedNumber]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self.labels)

    @property
    def algorithms(self) -> tuple[str, ...]:
        """Names of the rows, in the order of the paper."""
        return tuple(dict.fromkeys(n.algorithm for n in self.numbers))

    @property
    def subsets(self) -> tuple[str, ...]:
        """Jet classes, observables, ...; empty for a plain table."""
        return tuple(dict.fromkeys(n.subset for n in self.numbers if n.subset))

    def number(self, algorithm: str, metric: str, *, subset: str = "") -> PublishedNumber:
        """Return one cell; where several sources give the row, of the first that has a number in it.

        Raises
        ------
        ConfigError
            For an unknown algorithm, metric or subset; the message lists the known ones.
        """
        self._check("algorithm", algorithm, self.algorithms)
        self._check("metric", metric, self.metrics)
        if self.subsets:
            self._check("subset", subset, self.subsets)
        cells = [n for n in self if (n.algorithm, n.metric, n.subset) == (algorithm, metric, subset)]
        if cells:
            return next((n for n in cells if not math.isnan(n.value)), cells[0])
        raise ConfigError(f"table '{self.key}' has no '{algorithm}' for '{subset}'")

    def select(
        self, algorithms: tuple[str, ...] | None = None, *, subset: str | None = None
    ) -> PublishedTable:
        """Return the rows of some algorithms, or of one subset.

        Raises
        ------
        ConfigError
            For an unknown algorithm or subset.
        """
        for name in algorithms or ():
            self._check("algorithm", name, self.algorithms)
        if subset is not None:
            self._check("subset", subset, self.subsets)
        kept = tuple(
            n
            for n in self.numbers
            if (algorithms is None or n.algorithm in algorithms) and (subset is None or n.subset == subset)
        )
        return replace(self, numbers=kept)

    def join(
        self, own: Mapping[str, Mapping[str, Any]], *, subset: str = "", source: str = "this work"
    ) -> PublishedTable:
        """Put your own results under the paper's.

        Parameters
        ----------
        own
            Algorithm name to (metric name to result), in any form that `measured` takes. It is a plain
            number: the table's scale is applied here.
            Metrics the table does not have are left out.
        subset
            The jet class or observable, where the table has them.
        source
            What to show as the source of these rows.

        Returns
        -------
        PublishedTable
            With the new rows last, evidence "this work".

        Raises
        ------
        ConfigError
            When a row shares no metric with the table, or for an unknown subset.

        Examples
        --------
        >>> from omnilearn_lab.published import published_results
        >>> table = published_results("top_tagging").join({"mine": {"auc": (0.98, 0.001), "accuracy": 0.93}})
        >>> print(table.number("mine", "auc"))
        0.9800 ± 0.0010
        """
        if self.subsets:
            self._check("subset", subset, self.subsets)
        scales = {n.metric: n.scale for n in self.numbers}
        rows = []
        for algorithm, results in own.items():
            if not set(results) & set(self.metrics):
                raise ConfigError(
                    f"own row '{algorithm}' has none of the table's metrics: found {', '.join(results)}; "
                    f"the table has {', '.join(self.metrics)}"
                )
            for metric, scale in scales.items():
                result = results.get(metric, math.nan)
                value, error = (x / scale for x in measured(result))
                limit = getattr(result, "is_limit", False)
                sign = "≥" if hasattr(result, "n_limits") else ">"
                text = f"{sign} {number(value)}" if limit else number(value, error)
                cell = (algorithm, metric, value, error, text, subset, scale, source, OWN, limit)
                rows.append(PublishedNumber(*cell))
        return replace(self, numbers=self.numbers + tuple(rows))

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas table, one row per number.

        Returns
        -------
        pandas.DataFrame
            Columns table, dataset, and the fields of `PublishedNumber`.
        """
        import dataclasses

        import pandas as pd

        rows = [{"table": self.key, "dataset": self.dataset, **dataclasses.asdict(n)} for n in self.numbers]
        return pd.DataFrame(rows)

    def _check(self, what: str, name: str, known: tuple[str, ...]) -> None:
        if name not in known:
            raise ConfigError(f"table '{self.key}' has no {what} '{name}'; {nearest(name, known)}")

    def _grid(self) -> Iterator[tuple[PublishedNumber, list[PublishedNumber]]]:
        """First number and all cells of each row."""
        rows: dict[tuple[str, str, str], dict[str, PublishedNumber]] = {}
        for n in self.numbers:
            rows.setdefault((n.subset, n.algorithm, n.source), {})[n.metric] = n
        for cells in rows.values():
            yield next(iter(cells.values())), [cells[m] for m in self.metrics if m in cells]

    def __repr__(self) -> str:
        return f"PublishedTable('{self.key}': {len(self.algorithms)} algorithms x {', '.join(self.metrics)})"

    def _repr_html_(self) -> str:
        front = ["subset"] if self.subsets else []
        rows = list(self._grid())
        body = [
            [*[first.subset] * len(front), first.algorithm + " *" * first.is_unverified]
            + ["–" if n.printed == "-" else n.printed for n in cells]
            for first, cells in rows
        ]
        table = html_table(
            [[*front, "algorithm", *self.labels.values()], *body],
            caption=self.title,
            titles=[first.source for first, _ in rows],
            bold=[i for i, (first, _) in enumerate(rows) if first.evidence == OWN],
        )
        remarks = list(dict.fromkeys(n.source for n in self.numbers))
        remarks += ["* not verified against the source"] * any(n.is_unverified for n in self)
        remarks += [self.note] if self.note else []
        return f"{table}<small>{html.escape('; '.join(remarks))}</small>"


class Measured(NamedTuple):
    """A number with its uncertainty (NaN when unknown)."""

    value: float
    error: float


def measured(result: Any) -> Measured:
    """Return value and uncertainty of a result in any of the usual forms.

    Parameters
    ----------
    result
        A number, ``(value, uncertainty)``, a list or array with one value per seed (mean and
        standard deviation), or an object with ``mean`` and ``std`` or ``value`` and ``uncertainty``.

    Raises
    ------
    ConfigError
        For anything else, or no value.

    Examples
    --------
    >>> measured([1.0, 3.0]).value, measured((2.0, 0.5)), measured(4)
    (2.0, Measured(value=2.0, error=0.5), Measured(value=4.0, error=nan))
    """
    for value, error in (("mean", "std"), ("value", "uncertainty")):
        if not isinstance(result, np.ndarray) and hasattr(result, value) and hasattr(result, error):
            return Measured(float(getattr(result, value)), float(getattr(result, error)))
    if isinstance(result, tuple) and len(result) == 2:
        return Measured(float(result[0]), float(result[1]))
    values = np.atleast_1d(np.asarray(result, dtype=float))
    if values.ndim != 1 or not len(values) or isinstance(result, tuple):
        raise ConfigError(
            f"{result!r} is no result; give a number, (value, uncertainty), or a list over seeds"
        )
    return Measured(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else math.nan)


_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_CELL = re.compile(rf"(?P<value>{_NUMBER})(?: ± (?P<error>{_NUMBER})|–(?P<high>{_NUMBER}))?")
_TABLE_KEYS = {"title", "dataset", "metrics", "groups", "note"}
_GROUP_KEYS = {"source", "where", "evidence", "rows"}


def published_results(table: str | None = None, *, dataset: str | None = None) -> PublishedTable:
    """Return one of the papers' tables, by its key or by dataset.

    Parameters
    ----------
    table
        Key of the table; `published_tables` lists them.
    dataset
        Catalogue key of the dataset instead: its only table, or the one of the same name.

    Returns
    -------
    PublishedTable

    Raises
    ------
    ConfigError
        For an unknown name, or a dataset with several tables (the message lists them).

    Examples
    --------
    >>> results = published_results("top_tagging")
    >>> print(results.number("OmniLearn", "rejection_at_0.5"))
    568 ± 9
    >>> results.number("OmniLearn", "auc").source
    'OmniLearn, arXiv:2404.16091, Table I'
    """
    tables = _shipped()
    if table is None:
        table = _only_table(tables, dataset)
    if table not in tables:
        raise ConfigError(f"no published table '{table}'; {nearest(table, tables)}")
    found = tables[table]
    if dataset is not None and found.dataset != dataset:
        raise ConfigError(f"published table '{table}' is about '{found.dataset}', not '{dataset}'")
    return found


def published_tables() -> dict[str, str]:
    """Keys and titles of all published tables.

    Examples
    --------
    >>> "top_tagging" in published_tables()
    True
    """
    return {key: table.title for key, table in _shipped().items()}


def parse_results(text: str) -> dict[str, PublishedTable]:
    """Read tables from YAML text in the layout of ``published_results.yaml``.

    Parameters
    ----------
    text
        The YAML document; its comments in the shipped file describe the layout.

    Returns
    -------
    dict of table key to PublishedTable

    Raises
    ------
    ConfigError
        For an unknown key, source, metric or evidence mark, a row of the wrong length, or a cell
        that is no number; the message names table and row.
    """
    # BaseLoader keeps every scalar as text, so that printed digits ("0.940") survive; it builds no objects.
    try:
        document = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506
    except yaml.YAMLError as error:
        raise ConfigError(f"published results are not valid YAML: {error}") from error
    if not isinstance(document, dict) or set(document) != {"sources", "metrics", "tables"}:
        raise ConfigError("published results must have exactly the keys sources, metrics, tables")
    return {key: _table(key, value, document) for key, value in document["tables"].items()}


@cache
def _shipped() -> dict[str, PublishedTable]:
    path = resources.files("omnilearn_lab.published") / "published_results.yaml"
    return parse_results(path.read_text(encoding="utf-8"))


def _only_table(tables: Mapping[str, PublishedTable], dataset: str | None) -> str:
    if dataset is None:
        raise ConfigError(f"name a table or a dataset; {nearest('', tables)}")
    keys = [key for key, table in tables.items() if table.dataset == dataset]
    if not keys:
        known = {table.dataset for table in tables.values()}
        raise ConfigError(f"no published table for dataset '{dataset}'; {nearest(dataset, known)}")
    if dataset in keys:
        return dataset
    if len(keys) > 1:
        raise ConfigError(f"dataset '{dataset}' has several published tables: {', '.join(keys)}; name one")
    return keys[0]


def _table(key: str, spec: Mapping[str, Any], document: Mapping[str, Any]) -> PublishedTable:
    _check_keys(f"table '{key}'", spec, _TABLE_KEYS, optional={"note"})
    for metric in spec["metrics"]:
        _check_known(key, "metric", metric, document["metrics"])
    numbers = [n for group in spec["groups"] for n in _group(key, group, spec["metrics"], document)]
    labels = {metric: document["metrics"][metric]["label"] for metric in spec["metrics"]}
    return PublishedTable(key, spec["title"], spec["dataset"], tuple(numbers), labels, spec.get("note", ""))


def _group(
    key: str, group: Mapping[str, Any], metrics: list[str], document: Mapping[str, Any]
) -> Iterator[PublishedNumber]:
    _check_keys(f"table '{key}', a group", group, _GROUP_KEYS)
    _check_known(key, "evidence", group["evidence"], EVIDENCE)
    _check_known(key, "source", group["source"], document["sources"])
    source = document["sources"][group["source"]]
    reference = f"arXiv:{source['arxiv']}" if "arxiv" in source else source["reference"]
    origin = f"{source['name']}, {reference}, {group['where']}", group["evidence"]
    for subset, algorithm, cells in _rows(group["rows"]):
        row = f"table '{key}', row '{algorithm}'" + (f" of '{subset}'" if subset else "")
        if len(cells) != len(metrics):
            raise ConfigError(f"{row}: {len(cells)} cells for {len(metrics)} metrics")
        for metric, cell in zip(metrics, cells, strict=True):
            value, error = _cell(cell, f"{row}, {metric}")
            scale = float(document["metrics"][metric].get("scale", 1))
            yield PublishedNumber(algorithm, metric, value, error, cell, subset, scale, *origin)


def _rows(rows: Mapping[str, Any]) -> Iterator[tuple[str, str, list[str]]]:
    """Subset (or ""), algorithm and cells of every row."""
    for name, content in rows.items():
        if isinstance(content, Mapping):
            yield from ((name, algorithm, cells) for algorithm, cells in content.items())
        else:
            yield "", name, content


def _cell(cell: str, where: str) -> tuple[float, float]:
    """Value and error of a printed cell; NaN where it gives none."""
    if cell == "-":
        return math.nan, math.nan
    match = _CELL.fullmatch(cell)
    if match is None:
        raise ConfigError(f"{where}: '{cell}' is not a number, 'number ± error', 'low–high' or '-'")
    value = float(match["value"])
    if match["high"]:
        value = (value + float(match["high"])) / 2
    return value, float(match["error"]) if match["error"] else math.nan


def _check_known(key: str, what: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise ConfigError(f"table '{key}': {what} '{name}'; {nearest(name, known)}")


def _check_keys(what: str, found: Mapping[str, Any], known: set[str], optional: Collection[str] = ()) -> None:
    for key in found:
        if key not in known:
            raise ConfigError(f"{what}: unknown key '{key}'; {nearest(key, known)}")
    if missing := known - set(found) - set(optional):
        raise ConfigError(f"{what}: missing {', '.join(sorted(missing))}")
