"""All notebooks' ``results.json`` on one page: what pretraining brought, beside what was published."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from omnilearn_lab.display import html_table, label, signed
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.machine import StrPath, make_folder, write_text
from omnilearn_lab.notebook.recorded import ResultsRecord, read_results
from omnilearn_lab.notebook.results import results_root
from omnilearn_lab.tasks.common.comparison import KINDS, ComparisonRecord, GainRecord, speedup_text

_HEAD = ("notebook", "profile", "jets", "date", "time [s]", "memory [GB]", "seeds")


def comparison_rows(comparison: ComparisonRecord, *, is_judged: bool = True) -> list[list[str]]:
    """Return a comparison as texts: a head, then one row per metric, and the speed-up last.

    Columns are the metric, scratch, fine-tuned, further networks, the paired gain, the verdict (left empty
    where it is not to be judged), and the published algorithms.
    """
    others = {kind: None for kinds in comparison.metrics.values() for kind in kinds if kind not in KINDS}
    columns = [*KINDS, *others]
    head = [
        "",
        *(label(kind) for kind in columns),
        "gain",
        "verdict",
        *(f"{name} (published)" for name in comparison.published),
    ]
    rows = [head]
    for metric in comparison.metrics:
        ours = [comparison.mean_and_spread(metric, kind) for kind in columns]
        published = [_number(row.get(metric)) for row in comparison.published.values()]
        gain, verdict = _gain(comparison.gains.get(metric))
        rows.append([label(metric), *ours, gain, verdict * is_judged, *published])
    if comparison.speedup_epochs is not None:
        found = ["speed-up (epochs)", "1", speedup_text(comparison)]
        rows.append(found + [""] * (len(head) - len(found)))
    return rows


def collect_results(folder: StrPath | None = None, *, profile: str | None = None) -> list[ResultsRecord]:
    """Read every ``<notebook>/<profile>/results.json`` below a folder, in order of their names.

    Parameters
    ----------
    folder
        The root of results; by default the one that notebooks write to.
    profile
        Only this one; all by default.

    Raises
    ------
    DataFileError
        When there are none.
    ConfigError
        When one does not fit the schema.
    """
    root = Path(folder) if folder else results_root()
    paths = sorted(root.glob(f"[0-9][0-9]_*/{profile or '*'}/results.json"))
    if not paths:
        raise DataFileError(f"no results in '{root}'; run 'omnilearn-lab run all' first, or name the folder")
    return [read_results(path) for path in paths]


class Report:
    """One page of results.

    Parameters
    ----------
    results : iterable of ResultsRecord
    """

    def __init__(self, results: Iterable[ResultsRecord]) -> None:
        self.results = list(results)

    def sections(self) -> list[tuple[str, list[list[str]]]]:
        """Return (title, table) pairs: the runs, each comparison, and where there was no gain."""
        found = [("Runs", [list(_HEAD), *(_about(r) for r in self.results)])]
        for result in self.results:
            for title, comparison in result.comparisons.items():
                where = f"{result.notebook}, {result.profile}, {result.source}"
                size = f"{comparison.n_train:,} training jets, {len(comparison.seeds)} seeds"
                rows = comparison_rows(comparison, is_judged=result.is_judged)
                found.append((f"{title} ({where}; {size})", rows))
        return [*found, ("No gain beyond the spread over seeds", self.null_results())]

    def null_results(self) -> list[list[str]]:
        """Return the metrics in which fine-tuning was not better, with a head."""
        rows = [["notebook", "profile", "task", "metric", "gain", "verdict"]]
        for result in filter(lambda result: result.is_judged, self.results):
            for title, comparison in result.comparisons.items():
                for metric, gain in comparison.gains.items():
                    if gain.verdict != "better" and metric != "epochs":
                        rows.append([result.notebook, result.profile, title, label(metric), *_gain(gain)])
        return rows

    def to_markdown(self) -> str:
        """Return the page as Markdown."""
        parts = [f"## {_markdown(title)}\n\n{_markdown_table(rows)}" for title, rows in self.sections()]
        return "# Results\n\n" + _LEGEND + "\n\n" + "\n\n".join(parts) + "\n"

    def to_html(self) -> str:
        """Return the page as HTML that needs nothing else."""
        parts = [
            f"<h2>{html.escape(title)}</h2>{html_table(rows, classes=_CLASSES)}"
            for title, rows in self.sections()
        ]
        return _PAGE.format(legend=html.escape(_LEGEND), body="\n".join(parts))


def write_report(
    folder: StrPath | None = None, *, profile: str | None = None, target: StrPath | None = None
) -> tuple[Path, Path]:
    """Write ``report.md`` and ``report.html``.

    Parameters
    ----------
    folder, profile
        See `collect_results`.
    target
        Where to write to; by default the folder of results.

    Returns
    -------
    tuple of Path
        The Markdown and the HTML file.
    """
    root = Path(folder) if folder else results_root()
    report = Report(collect_results(root, profile=profile))
    place = make_folder(Path(target or root))
    paths = place / "report.md", place / "report.html"
    for path, text in zip(paths, (report.to_markdown(), report.to_html()), strict=True):
        write_text(path, text)
    return paths


def verdict(
    record: ComparisonRecord,
    *,
    metrics: Sequence[str] = ("auc", "rejection_at_0.5"),
    published_speedup: float | None = None,
) -> str:
    """Say in words, from the numbers alone, what fine-tuning brought, and every further arm.

    Parameters
    ----------
    record : ComparisonRecord
    metrics
        Which of its metrics to speak of.
    published_speedup
        How many times fewer epochs the paper reports.

    Returns
    -------
    str
        One line per metric and arm, and one on speed when speed-ups were measured.

    Examples
    --------
    >>> record = ComparisonRecord(seeds=[1, 2], n_train=100, speedup_epochs=[2.0, 4.0],
    ...     metrics={"auc": {"scratch": [0.80, 0.82], "finetuned": [0.85, 0.88]}})
    >>> print(verdict(record, metrics=["auc"], published_speedup=3))
    AUC: scratch 0.81, fine-tuned 0.865, gain +0.0550 ± 0.0050 (2 seeds): better
    epochs to scratch's best loss: 2.0 to 4.0 times fewer, reached in 2 of 2 seeds; the paper: 3 times
    """
    lines = [line for metric in metrics for line in _metric_lines(record, metric)]
    if record.speedup_epochs is not None:
        lines.append(_speed_line(record, published_speedup))
    return "\n".join(lines)


_LEGEND = (
    "Values are mean ± standard deviation over seeds; the gain is fine-tuned minus scratch, paired by seed, "
    "± its standard error from seeds and test set. Better or worse means more than two of these errors, and "
    "never a lower limit, which '≥' marks. Published numbers "
    "were measured on the published jets, ours on the source that is named."
)
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Results</title><style>
body {{ font-family: sans-serif; margin: 2em; max-width: 80em }}
table {{ border-collapse: collapse; margin-bottom: 1.5em }}
th, td {{ border-bottom: 1px solid #ccc; padding: 0.3em 0.8em; text-align: right; white-space: nowrap }}
th:first-child, td:first-child {{ text-align: left }}
td.better {{ background: #d9f0d3 }} td.worse {{ background: #f6d5c9 }} td.null {{ background: #eee }}
</style></head><body><h1>Results</h1><p>{legend}</p>
{body}
</body></html>
"""
_CLASSES = {
    "better": "better",
    "worse": "worse",
    "within errors": "null",
    "one seed": "null",
    "lower limit": "null",
}


def _about(result: ResultsRecord) -> list[str]:
    numbers = (_number(result.total_seconds), _number(result.peak_memory_gb))
    return [result.notebook, result.profile, result.source, result.date, *numbers, str(len(result.seeds))]


def _gain(found: GainRecord | None) -> list[str]:
    if found is None:
        return ["", ""]
    return [signed(found.difference, found.error), found.verdict]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _markdown(text: str) -> str:
    """Text that stands for itself: no link, no tag, no second line."""
    plain = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\`*\[\]|~])", r"\\\1", plain)


def _markdown_table(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(map(_markdown, row)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _metric_lines(record: ComparisonRecord, metric: str) -> list[str]:
    """Fine-tuned, and every further arm, against scratch."""
    arms = [arm for arm in record.metrics[metric] if arm != "scratch"]
    scratch = f"{label(metric)}: scratch {_mean(record, metric, 'scratch')}, "
    return [scratch + _gain_text(record, metric, arm) for arm in arms]


def _gain_text(record: ComparisonRecord, metric: str, arm: str) -> str:
    text, gain = f"{label(arm)} {_mean(record, metric, arm)}", record.gain(metric, arm)
    if gain is None:
        return text
    n_limits = sum(record.n_lower_limits.get(kind, {}).get(metric, 0) for kind in ("scratch", arm))
    note = f"; {n_limits} of {2 * len(record.seeds)} values are lower limits" if n_limits else ""
    return f"{text}, gain {signed(gain.difference, gain.error)} ({gain.n} seeds): {gain.verdict}{note}"


def _mean(record: ComparisonRecord, metric: str, arm: str) -> str:
    return f"{np.nanmean(np.array(record.metrics[metric][arm], float)):.4g}"


def _speed_line(record: ComparisonRecord, published: float | None) -> str:
    factors = record.speedup_epochs or []
    known = [factor for factor in factors if factor]
    text = "epochs to scratch's best loss: "
    if known:
        text += f"{min(known):.1f} to {max(known):.1f} times fewer, "
    text += f"reached in {len(factors) - factors.count(None) + record.n_from_start} of {len(factors)} seeds"
    text += f", from the start in {record.n_from_start}" if record.n_from_start else ""
    text += f", where scratch never improves in {factors.count(0)}" if 0 in factors else ""
    return text + (f"; the paper: {published:g} times" if published is not None else "")
