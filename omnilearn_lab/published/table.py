"""A published table: rows of algorithms, columns of metrics, every number with its source."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from omnilearn_lab.display import html_table, number
from omnilearn_lab.errors import ConfigError, nearest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EVIDENCE", "PublishedNumber", "PublishedTable"]

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
            Algorithm name to (metric name to result). A result is a number, a pair (value, error),
            or an object with ``mean`` and ``std`` (a spread over seeds) or ``value`` and
            ``uncertainty`` (a rejection, a distance). It is a plain number: the table's scale is applied
            here.
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
                value, error = (x / scale for x in _own(result))
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


def _own(result: Any) -> tuple[float, float]:
    """Value and error of a user's result, whatever its form."""
    for value, error in (("mean", "std"), ("value", "uncertainty")):
        if hasattr(result, value) and hasattr(result, error):
            return float(getattr(result, value)), float(getattr(result, error))
    if isinstance(result, tuple | list):
        return float(result[0]), float(result[1])
    return float(result), math.nan
