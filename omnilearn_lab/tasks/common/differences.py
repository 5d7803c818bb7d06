"""Tables of metrics over seeds, and of differences between trainings seed by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.metrics import gain, spread

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["gain_table", "seed_table"]

Values = Mapping[str, Mapping[str, Sequence[float]]]


def seed_table(values: Values) -> pd.DataFrame:
    """Return mean ± standard deviation over seeds, one row per training and one column per metric.

    Parameters
    ----------
    values : mapping of training to {metric: one value per seed}

    Examples
    --------
    >>> seed_table({"scratch": {"AUC": [0.8, 0.9]}}).loc["scratch", "AUC"]
    '0.85 ± 0.071'
    """
    import pandas as pd

    return pd.DataFrame({name: {m: _text(v) for m, v in row.items()} for name, row in values.items()}).T


def gain_table(values: Values, pairs: Mapping[str, tuple[str, str]]) -> pd.DataFrame:
    """Return the difference between two trainings, paired by seed, with its spread.

    Parameters
    ----------
    values : mapping of training to {metric: one value per seed}
    pairs : mapping of a name to (new, reference)

    Returns
    -------
    DataFrame
        One row per pair and metric: difference, its standard deviation over seeds, and whether the
        difference, of either sign, exceeds it.

    Raises
    ------
    ConfigError
        For a training that has no values.

    Examples
    --------
    >>> values = {"a": {"AUC": [0.8, 0.9]}, "b": {"AUC": [0.85, 0.95]}}
    >>> float(gain_table(values, {"b over a": ("b", "a")}).loc[("b over a", "AUC"), "difference"].round(3))
    0.05
    """
    import pandas as pd

    rows = {}
    for what, (new, reference) in pairs.items():
        for name in (new, reference):
            if name not in values:
                raise ConfigError(f"no values of '{name}'; {nearest(name, values)}")
        for metric, old in values[reference].items():
            found = gain(values[new][metric], old, paired=True)
            beyond = bool(abs(found.difference) > found.std)
            rows[what, metric] = (found.difference, found.std, beyond)
    return pd.DataFrame.from_dict(
        {key: dict(zip(("difference", "spread", "beyond"), row, strict=True)) for key, row in rows.items()},
        orient="index",
    ).set_axis(pd.MultiIndex.from_tuples(rows), axis=0)


def _text(values: Sequence[float]) -> str:
    found = spread(values)
    return f"{found.mean:.3g}" if len(values) < 2 else f"{found.mean:.3g} ± {found.std:.2g}"
