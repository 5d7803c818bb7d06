"""What a checkpoint brings to other tasks, over sizes of the training set: its card's table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from omnilearn_lab.display import signed
from omnilearn_lab.metrics import spread
from omnilearn_lab.models import read_card
from omnilearn_lab.tasks.common.records import KINDS, ComparisonRecord

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DownstreamRecord", "downstream_records", "downstream_table"]

_ENTRY = "downstream"
_NAMES = ("scratch", "fine-tuned")  # as in KINDS


class DownstreamRecord(ComparisonRecord):
    """Scratch against fine-tuned from one checkpoint, for one task and one number of training jets."""

    checkpoint: str
    task: str
    epochs: float
    batch_size: int
    learning_rate: float


def downstream_records(checkpoint: str | Path) -> list[DownstreamRecord]:
    """Return what a checkpoint's card says about other tasks; nothing if nobody measured it.

    Parameters
    ----------
    checkpoint
        Name of a shipped checkpoint, or a file.

    Examples
    --------
    >>> sorted({record.task for record in downstream_records("tiny")})
    ['quark_gluon', 'top_tagging']
    """
    return [DownstreamRecord(**values) for values in read_card(checkpoint).get(_ENTRY, ())]


def downstream_table(records: Iterable[DownstreamRecord]) -> pd.DataFrame:
    """Return scratch beside fine-tuned, mean and standard deviation over seeds, with the verdict.

    Parameters
    ----------
    records
        Of `downstream_records`.

    Returns
    -------
    DataFrame
        One row per checkpoint, task, number of training jets and metric. A rejection for which fewer than
        ten background jets passed, in any seed, is a lower limit and marked so. Networks may have had
        different budgets: compare within a row.
    """
    import pandas as pd

    rows = {}
    for record in sorted(records, key=lambda r: (r.checkpoint, r.task, r.n_train)):
        for metric in record.metrics:
            cells = {name: _cell(record, metric, kind) for kind, name in zip(KINDS, _NAMES, strict=True)}
            gain = record.gains[metric]
            cells |= {"gain": signed(gain.difference, gain.error), "verdict": gain.verdict}
            about = {
                "epochs": f"{record.epochs:g}",
                "peak rate": f"{record.learning_rate:g}",
                "seeds": len(record.seeds),
            }
            rows[record.checkpoint, record.task, record.n_train, metric] = about | cells
    names = ["checkpoint", "task", "training jets", "metric"]
    return pd.DataFrame(
        list(rows.values()), index=pd.MultiIndex.from_tuples(rows, names=names) if rows else None
    )


def _cell(record: DownstreamRecord, metric: str, kind: str) -> str:
    is_limit = record.n_lower_limits.get(kind, {}).get(metric, 0) > 0
    return ("≥ " if is_limit else "") + str(spread(record.metrics[metric][kind]))
