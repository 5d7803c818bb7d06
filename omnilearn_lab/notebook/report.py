"""All notebooks' ``results.json`` on one page: what pretraining brought, beside what was published."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from omnilearn_lab.display import html_table, label, signed
from omnilearn_lab.errors import DataFileError
from omnilearn_lab.machine import write_text
from omnilearn_lab.metrics import spread
from omnilearn_lab.notebook.records import ResultsRecord, read_results
from omnilearn_lab.notebook.results import results_root
from omnilearn_lab.tasks.common.records import KINDS, ComparisonRecord, GainRecord, Values

__all__ = ["Report", "collect_results", "comparison_rows", "write_report"]

_HEAD = ("notebook", "profile", "jets", "date", "time [s]", "memory [GB]", "seeds")


def comparison_rows(comparison: ComparisonRecord) -> list[list[str]]:
    """Return a comparison as texts: a head, then one row per metric, and the speed-up last.

    Columns are the metric, scratch, fine-tuned, further networks, the paired gain, the verdict, and the
    published algorithms.
    """
    others = {kind: None for kinds in comparison.metrics.values() for kind in kinds if kind not in KINDS}
    columns = [*KINDS, *others]
    head = ["", *(label(kind) for kind in columns), "gain", "verdict", *comparison.published]
    rows = [head]
    for metric in comparison.metrics:
        ours = [_value(comparison, kind, metric) for kind in columns]
        published = [_number(row.get(metric)) for row in comparison.published.values()]
        rows.append([metric, *ours, *_gain(comparison.gains.get(metric)), *published])
    if comparison.speedup_epochs is not None:
        found = ["speed-up (epochs)", "1", _mean_and_spread(comparison.speedup_epochs)]
        rows.append(found + [""] * (len(head) - len(found)))
    return rows


def collect_results(
    folder: str | os.PathLike[str] | None = None, *, profile: str | None = None
) -> list[ResultsRecord]:
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
                found.append((f"{title} ({where}; {size})", comparison_rows(comparison)))
        return [*found, ("No gain beyond the spread over seeds", self.null_results())]

    def null_results(self) -> list[list[str]]:
        """Return the metrics in which fine-tuning was not better, with a head."""
        rows = [["notebook", "profile", "task", "metric", "gain", "verdict"]]
        for result in self.results:
            for title, comparison in result.comparisons.items():
                for metric, gain in comparison.gains.items():
                    if gain.verdict != "better" and metric != "epochs":
                        rows.append([result.notebook, result.profile, title, metric, *_gain(gain)])
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
    folder: str | os.PathLike[str] | None = None, *, profile: str | None = None
) -> tuple[Path, Path]:
    """Write ``report.md`` and ``report.html`` into the folder of results.

    Parameters
    ----------
    folder, profile
        See `collect_results`.

    Returns
    -------
    tuple of Path
        The Markdown and the HTML file.
    """
    root = Path(folder) if folder else results_root()
    report = Report(collect_results(root, profile=profile))
    paths = root / "report.md", root / "report.html"
    for path, text in zip(paths, (report.to_markdown(), report.to_html()), strict=True):
        write_text(path, text)
    return paths


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


def _value(comparison: ComparisonRecord, kind: str, metric: str) -> str:
    """Mean and spread over seeds, marked as a lower limit when some seeds only gave one."""
    n_limits = comparison.n_lower_limits.get(kind, {}).get(metric, 0)
    values = comparison.metrics[metric].get(kind)
    return "" if values is None else _mean_and_spread(values, n_limits)


def _mean_and_spread(values: Values, n_limits: int = 0) -> str:
    known = [v for v in values if v is not None]
    if not known:
        return "not reached"
    text = str(spread(known, n_limits=n_limits))
    return text if len(known) == len(values) else f"{text} ({len(known)} of {len(values)} seeds)"


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
