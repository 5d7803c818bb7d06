"""``omnilearn-lab run``: notebooks as batch jobs."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from omnilearn_lab.cli.display import say, shorten, show

__all__ = ["run", "summary_table"]


def run(
    notebook: Annotated[str, typer.Argument(help="a notebook's name, or 'all'")],
    profile: Annotated[str, typer.Option(help="smoke, quick or full")] = "quick",
) -> None:
    """Execute a notebook and print a summary of its results."""
    from omnilearn_lab.tasks.notebooks import execute_notebook, find_notebooks

    for name in find_notebooks() if notebook == "all" else [notebook]:
        done = execute_notebook(name, profile)
        results = done.directory / "results.json"
        if results.is_file():
            found = json.loads(results.read_text())
            show(summary_table(found))
            say("; ".join(f"{step} {seconds:.0f} s" for step, seconds in found.get("seconds", {}).items()))
        say(f"{name} ({profile}) took {done.seconds:.0f} s; results in {shorten(done.directory)}")


def summary_table(results: dict[str, Any]) -> Table:
    """Return scratch, fine-tuned and published numbers of a results file side by side."""
    table = Table(title=f"{results['notebook']} ({results.get('source', 'unknown source')})")
    published = results.get("published", {})
    for head in ("", "scratch", "fine-tuned", *published):
        table.add_column(head, justify="left" if not head else "right")
    for metric in results.get("scratch", {}):
        cells = [_cell(results, kind, metric) for kind in ("scratch", "finetuned")]
        table.add_row(metric, *cells, *(_shown(row.get(metric)) for row in published.values()))
    if "speedup_epochs" in results:
        table.add_row("speed-up (epochs)", "1", _mean_and_spread(results["speedup_epochs"]))
    return table


def _cell(results: dict[str, Any], kind: str, metric: str) -> str:
    """Mean and spread over seeds, marked as a lower limit when some seeds only gave one."""
    is_limit = metric in results.get("n_lower_limits", {}).get(kind, {})
    return (">= " if is_limit else "") + _mean_and_spread(results[kind][metric])


def _mean_and_spread(values: list[float | None]) -> str:
    from omnilearn_lab.metrics import spread

    known = [v for v in values if v is not None]
    if not known:
        return "not reached"
    text = str(spread(known))
    return text if len(known) == len(values) else f"{text} ({len(known)} of {len(values)} seeds)"


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
