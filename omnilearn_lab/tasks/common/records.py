"""What is kept of a comparison: metrics by seed and arm, the gains computed from them, plain numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

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
    """Fine-tuned minus scratch, paired by seed: mean difference, its spread, its standard error."""

    difference: float
    std: float | None
    error: float | None
    n: int
    verdict: Literal["better", "worse", "within spread", "one seed"]


class ComparisonRecord(Record):
    """One comparison of trainings.

    ``metrics`` holds, for every metric, one value per seed for "scratch" and "finetuned", and for any
    further network by name; null stands for a value that is not finite. ``gains`` is computed from them.
    """

    seeds: list[int] = Field(min_length=1)
    n_train: int = Field(gt=0)
    n_test: int | None = None
    metrics: dict[str, dict[str, Values]] = Field(min_length=1)
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
        smaller = values.get("smaller_is_better", ())
        gains = {name: _gain(kinds, name in smaller) for name, kinds in metrics.items()}
        return {**values, "gains": {name: found for name, found in gains.items() if found is not None}}

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


def _gain(kinds: Any, is_smaller_better: bool) -> dict[str, Any] | None:
    """The paired gain over the seeds for which both values are known."""
    if not isinstance(kinds, Mapping) or not all(isinstance(kinds.get(kind), Iterable) for kind in KINDS):
        return None
    pairs = [(a, b) for a, b in zip(kinds["finetuned"], kinds["scratch"], strict=False)]
    pairs = [pair for pair in pairs if None not in pair]
    if not pairs:
        return None
    found = gain(*zip(*pairs, strict=True), paired=True)
    values = {name: finite(getattr(found, name)) for name in ("difference", "std", "error", "n")}
    return values | {"verdict": _verdict(values["difference"], values["std"], is_smaller_better)}


def _verdict(difference: float, std: float | None, is_smaller_better: bool) -> str:
    if std is None:
        return "one seed"
    if abs(difference) <= std:
        return "within spread"
    return "better" if (difference > 0) != is_smaller_better else "worse"
