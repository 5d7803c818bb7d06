"""What is kept of a comparison: metrics by seed and arm, the gains computed from them, plain numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.metrics import gain

if TYPE_CHECKING:
    from omnilearn_lab.published import PublishedTable

KINDS = ("scratch", "finetuned")
Values = list[float | None]


class Record(BaseModel):
    """Checked when it is built: unknown fields and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class GainRecord(Record):
    """Fine-tuned minus scratch, paired by seed: mean difference, its spread, its standard error.

    The verdict is that of `omnilearn_lab.metrics.Gain`.
    """

    difference: float
    std: float | None
    error: float | None
    n: int
    verdict: Literal["better", "worse", "within errors", "one seed", "lower limit"]


class ComparisonRecord(Record):
    """One comparison of trainings.

    ``metrics`` holds, for every metric, one value per seed for "scratch" and "finetuned", and for any
    further network by name; null stands for a value that is not finite. ``errors`` holds their statistical
    errors from the test set, where these are known. ``gains`` is computed from both.
    """

    seeds: list[int] = Field(min_length=1)
    n_train: int = Field(gt=0)
    n_test: int | None = None
    metrics: dict[str, dict[str, Values]] = Field(min_length=1)
    errors: dict[str, dict[str, Values]] = {}
    smaller_is_better: list[str] = []
    gains: dict[str, GainRecord] = {}
    speedup_epochs: Values | None = None
    speedup_seconds: Values | None = None
    n_lower_limits: dict[str, dict[str, int]] = {}
    published: dict[str, dict[str, float | None]] = {}

    @model_validator(mode="before")
    @classmethod
    def _add_gains(cls, values: Any) -> Any:
        metrics = values.get("metrics") if isinstance(values, Mapping) else None
        if not isinstance(metrics, Mapping):
            return values
        gains = {name: _gain(values, name, "finetuned") for name in metrics}
        return {**values, "gains": {name: change for name, change in gains.items() if change is not None}}

    @model_validator(mode="after")
    def _check(self) -> ComparisonRecord:
        for metric, kinds in self.metrics.items():
            missing = [kind for kind in KINDS if kind not in kinds]
            if missing:
                raise ValueError(f"metric '{metric}' lacks {missing}; it has {sorted(kinds)}")
            for kind, found in kinds.items():
                if len(found) != len(self.seeds):
                    raise ValueError(
                        f"metric '{metric}' has {len(found)} values for '{kind}' and {len(self.seeds)} seeds"
                    )
        for name in self.smaller_is_better:
            if name not in self.metrics:
                raise ValueError(f"smaller_is_better names '{name}'; {nearest(name, self.metrics)}")
        return self

    def gain(self, metric: str, arm: str) -> GainRecord | None:
        """Return the gain of any arm over scratch, paired by seed; nothing where a value is missing."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        change = _gain(values, metric, arm)
        return None if change is None else GainRecord(**change)


def published_numbers(table: PublishedTable) -> dict[str, dict[str, float | None]]:
    """Return a published table as plain numbers: algorithm to metric to value.

    Algorithms with a number that was not checked against its source say so in their name; the metrics of
    a table with subsets end in ``[subset]``.

    Examples
    --------
    >>> from omnilearn_lab.published import published_results
    >>> published_numbers(published_results("top_tagging"))["OmniLearn"]["auc"]
    0.9872
    """
    unverified = {n.algorithm for n in table if n.is_unverified}
    found: dict[str, dict[str, float | None]] = {}
    for n in table:
        row = found.setdefault(n.algorithm + " (unverified)" * (n.algorithm in unverified), {})
        row[n.metric + f"[{n.subset}]" * bool(n.subset)] = finite(n.value * n.scale)
    return found


def finite(value: Any, where: str = "the value") -> Any:
    """Return JSON-ready values: dataclasses as mappings, arrays as lists, what is not finite as None.

    Raises
    ------
    ConfigError
        For a type that JSON does not know; the message says where.

    Examples
    --------
    >>> finite({"auc": (0.9, float("nan"))})
    {'auc': [0.9, None]}
    """
    if isinstance(value, Mapping):
        return {str(k): finite(v, f"{where}.{k}") for k, v in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return finite(dataclasses.asdict(value), where)
    if hasattr(value, "tolist"):
        return finite(value.tolist(), where)
    if isinstance(value, list | tuple):
        return [finite(v, where) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float):
        return value
    raise ConfigError(f"{where} holds a {type(value).__name__}; give numbers, texts, lists or mappings")


def _gain(values: Mapping[str, Any], metric: str, arm: str) -> dict[str, Any] | None:
    """The paired gain over scratch, from the seeds for which both values are known."""
    both = ("scratch", arm)
    kinds, errors = values["metrics"][metric], values.get("errors", {}).get(metric, {})
    if not isinstance(kinds, Mapping) or not all(isinstance(kinds.get(kind), Iterable) for kind in both):
        return None
    pairs = [pair for pair in zip(*(kinds[kind] for kind in both), strict=False) if None not in pair]
    if not pairs:
        return None
    scratch, new = zip(*pairs, strict=True)
    limits = values.get("n_lower_limits", {})
    result = gain(
        new,
        scratch,
        paired=True,
        errors=tuple(np.array(errors.get(kind, 0.0), dtype=float) for kind in reversed(both)),
        smaller_is_better=metric in values.get("smaller_is_better", ()),
        is_limit=any(limits.get(kind, {}).get(metric) for kind in both),
    )
    return {name: finite(getattr(result, name)) for name in GainRecord.model_fields}
