"""``omnilearn-lab run``: notebooks as batch jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from omnilearn_lab.cli.display import make_table, say, shorten, show
from omnilearn_lab.errors import OmniLearnLabError

if TYPE_CHECKING:
    from omnilearn_lab.notebook.execute import ExecutedNotebook
    from omnilearn_lab.tasks.common.records import ComparisonRecord

__all__ = ["comparison_table", "run"]


def run(
    notebook: Annotated[str, typer.Argument(help="a notebook's name, or 'all'")],
    profile: Annotated[str, typer.Option(help="smoke, quick or full")] = "quick",
) -> None:
    """Execute a notebook and print a summary of its results; 'all' goes on after a failing one."""
    from omnilearn_lab.notebook.execute import execute_notebook, find_notebooks

    if notebook != "all":
        _show_results(execute_notebook(notebook, profile))
        return
    lines, n_failed = [], 0
    for name in find_notebooks():
        try:
            done = execute_notebook(name, profile)
            _show_results(done)
            lines.append(f"{name}: {done.seconds:.0f} s, {done.peak_memory_gb:.2f} GB")
        except OmniLearnLabError as error:
            n_failed += 1
            lines.append(f"{name}: FAILED: {error}")
    say("\n".join(lines))
    if n_failed:
        raise typer.Exit(1)


def _show_results(done: ExecutedNotebook) -> None:
    from omnilearn_lab.tasks.common.records import read_results

    if (done.directory / "results.json").is_file():
        found = read_results(done.directory)
        for title, comparison in found.comparisons.items():
            show(comparison_table(f"{found.notebook}: {title} ({found.source})", comparison))
        say("; ".join(f"{step} {seconds:.0f} s" for step, seconds in found.seconds.items()))
    say(
        f"{done.name} ({done.profile}) took {done.seconds:.0f} s and {done.peak_memory_gb:.2f} GB of memory; "
        f"results in {shorten(done.directory)}"
    )


def comparison_table(title: str, comparison: ComparisonRecord) -> Table:
    """Return scratch, fine-tuned, gain and published numbers of a comparison side by side."""
    from omnilearn_lab.notebook.report import comparison_rows

    head, *rows = comparison_rows(comparison)
    return make_table(title, head, rows, numbers=len(head) - 1)
