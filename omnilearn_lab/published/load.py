"""Read and check ``published_results.yaml``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

import yaml

from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.published.table import EVIDENCE, PublishedNumber, PublishedTable

__all__ = ["parse_results", "published_results", "published_tables"]

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
        if metric not in document["metrics"]:
            raise ConfigError(f"table '{key}': metric '{metric}'; {nearest(metric, document['metrics'])}")
    numbers = [n for group in spec["groups"] for n in _group(key, group, spec["metrics"], document)]
    return PublishedTable(
        key=key,
        title=spec["title"],
        dataset=spec["dataset"],
        numbers=tuple(numbers),
        labels={metric: document["metrics"][metric]["label"] for metric in spec["metrics"]},
        note=spec.get("note", ""),
    )


def _group(
    key: str, group: Mapping[str, Any], metrics: list[str], document: Mapping[str, Any]
) -> Iterator[PublishedNumber]:
    _check_keys(f"table '{key}', a group", group, _GROUP_KEYS)
    if group["evidence"] not in EVIDENCE:
        raise ConfigError(
            f"table '{key}': evidence '{group['evidence']}'; {nearest(group['evidence'], EVIDENCE)}"
        )
    if group["source"] not in document["sources"]:
        raise ConfigError(
            f"table '{key}': source '{group['source']}'; {nearest(group['source'], document['sources'])}"
        )
    source = document["sources"][group["source"]]
    reference = f"arXiv:{source['arxiv']}" if "arxiv" in source else source["reference"]
    for subset, algorithm, cells in _rows(group["rows"]):
        row = f"table '{key}', row '{algorithm}'" + (f" of '{subset}'" if subset else "")
        if len(cells) != len(metrics):
            raise ConfigError(f"{row}: {len(cells)} cells for {len(metrics)} metrics")
        for metric, cell in zip(metrics, cells, strict=True):
            value, error = _cell(cell, f"{row}, {metric}")
            yield PublishedNumber(
                algorithm=algorithm,
                metric=metric,
                value=value,
                uncertainty=error,
                printed=cell,
                subset=subset,
                scale=float(document["metrics"][metric].get("scale", 1)),
                source=f"{source['name']}, {reference}, {group['where']}",
                evidence=group["evidence"],
            )


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


def _check_keys(
    what: str, found: Mapping[str, Any], known: set[str], optional: set[str] = frozenset()
) -> None:  # type: ignore[assignment]
    for key in found:
        if key not in known:
            raise ConfigError(f"{what}: unknown key '{key}'; {nearest(key, known)}")
    if missing := known - set(found) - set(optional):
        raise ConfigError(f"{what}: missing {', '.join(sorted(missing))}")
