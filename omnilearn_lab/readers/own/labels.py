"""Labels as files have them (codes, signs, text, one-hot), as numbers of classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from omnilearn_lab.errors import DataFileError
from omnilearn_lab.readers.own.columns import ColumnMap
from omnilearn_lab.readers.own.tables import Table

_BLOCK = 1_000_000
_MOST_SHOWN = 8


class Labels(NamedTuple):
    """How the values of a file become labels.

    ``class_names`` : in the order of the labels, if the classes have names; ``map`` : label by value, for
    values that are no labels themselves (none: they are); ``meaning`` : class name by value, in words.
    """

    class_names: tuple[str, ...] = ()
    map: Mapping[Any, int] | None = None
    meaning: Mapping[str, str] = {}

    def numbers(self, values: np.ndarray) -> np.ndarray:
        """Return the label of every value; -1 where it has none."""
        if values.ndim == 2:  # one-hot
            return np.where(values.sum(axis=1) == 1, values.argmax(axis=1), -1)
        if self.map is None:
            return values
        unique, place = np.unique(values, return_inverse=True)
        return np.array([self.map.get(_key(value), -1) for value in unique.tolist()], dtype=np.int64)[place]


def understand_labels(table: Table, columns: ColumnMap, *, is_strict: bool) -> Labels:
    """Look at all labels of a file and decide what they mean, once for all of its rows.

    Parameters
    ----------
    table
    columns
    is_strict
        Refuse values that ``columns.labels`` does not name; else their jets are bad jets.

    Raises
    ------
    DataFileError
        When labels are not understood: probabilities, or codes of which nobody said what they mean.
    """
    names = tuple(columns.class_names)
    if columns.flags:
        return Labels(names or tuple(columns.flags))
    if "label" not in columns.jet:
        return Labels(names)
    seen = _values(table, columns.jet["label"], may_be_one_hot=not _in_events(table, columns))
    if seen is None:  # one-hot
        return Labels(names)
    place = f"'{table.path}': column '{columns.jet['label']}'"
    if columns.labels:
        return _by_map(seen, columns, place, is_strict)
    if seen.dtype.kind in "US":
        return _by_text(seen, names, place)
    _check_whole(seen, place)
    values = seen[np.isfinite(seen.astype(np.float64))].astype(np.int64).tolist()
    if set(values) == {-1, 1}:
        return Labels(names, {-1: 0, 1: 1}, {"-1": _name(names, 0), "1": _name(names, 1)})
    n_classes = len(names) or len(values)
    if values and (min(values) < 0 or max(values) >= max(n_classes, 2)) and is_strict:
        named = ", ".join(f"{value}: 'name'" for value in values[:3])
        raise DataFileError(
            f"{place} holds {_shown(values)}; class numbers count from 0: say what the values mean, with "
            f"labels={{{named}, ...}}, or, for a regression, map the column under another name than 'label'"
        )
    return Labels(names)


def flagged(table: Table, columns: ColumnMap, rows: tuple[int, int]) -> np.ndarray:
    """Return the label of rows whose classes have a column each; -1 unless exactly one of them is set."""
    parts = [table.column(name, *rows).values for name in columns.flags.values()]
    names = tuple(columns.class_names) or tuple(columns.flags)
    order = [names.index(name) for name in columns.flags]
    set_ = np.stack(parts, axis=1) != 0
    return np.where(set_.sum(axis=1) == 1, np.array(order)[set_.argmax(axis=1)], -1)


def _by_map(seen: np.ndarray, columns: ColumnMap, place: str, is_strict: bool) -> Labels:
    meaning = {_key(value): name for value, name in columns.labels.items()}
    names = tuple(columns.class_names) or tuple(dict.fromkeys(meaning.values()))
    missing = [name for name in meaning.values() if name not in names]
    if missing:
        raise DataFileError(f"{place}: labels names the classes {missing}, and class_names are {list(names)}")
    others = [value for value in seen.tolist() if _key(value) not in meaning]
    if others and is_strict:
        raise DataFileError(
            f"{place} holds {_shown(others)}, which labels={dict(columns.labels)} does not name; add them or "
            "drop these jets with bad_jets='drop'"
        )
    return Labels(
        names,
        {value: names.index(name) for value, name in meaning.items()},
        {str(value): name for value, name in meaning.items()},
    )


def _by_text(seen: np.ndarray, names: tuple[str, ...], place: str) -> Labels:
    values = [str(value) for value in seen.tolist()]
    classes = names or tuple(sorted(values))
    others = [value for value in values if value not in classes]
    if others:
        raise DataFileError(
            f"{place} holds {_shown(others)}, and class_names are {list(classes)}; give them all"
        )
    return Labels(classes, {name: i for i, name in enumerate(classes)}, {name: name for name in classes})


def _in_events(table: Table, columns: ColumnMap) -> bool:
    """Whether rows are events: a list of labels then has one for each jet."""
    first = (0, min(1, table.n_rows))
    particles = next(name for name in columns.particles.values() if not name.startswith("="))
    others = [name for ours, name in columns.jet.items() if ours != "label"]
    nested = table.column(particles, *first).inner is not None
    return nested or any(table.column(name, *first).counts is not None for name in others)


def _values(table: Table, name: str, *, may_be_one_hot: bool) -> np.ndarray | None:
    """Return the different values of a column; none where a row has several (one-hot)."""
    parts = []
    for start in range(0, table.n_rows, _BLOCK):
        column = table.column(name, start, min(start + _BLOCK, table.n_rows))
        is_rectangular = column.counts is not None and len(set(column.counts.tolist())) == 1
        is_rectangular &= may_be_one_hot
        if is_rectangular and column.counts[0] > 1 and _is_one_hot(column.values, int(column.counts[0])):
            return None
        parts.append(np.unique(column.values))
    return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int64)


def _is_one_hot(values: np.ndarray, width: int) -> bool:
    table = values.reshape(-1, width)
    return bool(np.isin(table, (0, 1)).all() and (table.sum(axis=1) == 1).mean() > 0.5)


def _check_whole(seen: np.ndarray, place: str) -> None:
    finite = seen[np.isfinite(seen.astype(np.float64))]
    parts = finite[finite != np.rint(finite)]
    if len(parts):
        raise DataFileError(
            f"{place} holds {_shown(parts.tolist())}; labels are whole numbers. A probability or a target of "
            "a regression goes under another name: jet={'target': ...}"
        )


def _key(value: Any) -> Any:
    """One spelling for 5, 5.0, '5' and numpy's."""
    text = value.decode() if isinstance(value, bytes) else str(value)
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else number


def _name(names: tuple[str, ...], label: int) -> str:
    return names[label] if label < len(names) else str(label)


def _shown(values: list[Any]) -> str:
    more = f" and {len(values) - _MOST_SHOWN} more" if len(values) > _MOST_SHOWN else ""
    return ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values[:_MOST_SHOWN]) + more
