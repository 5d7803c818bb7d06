"""``omnilearn-lab report``: all results on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from omnilearn_lab.cli.display import make_table, say, shorten, show

__all__ = ["report"]


def report(
    folder: Annotated[Path | None, typer.Option(help="folder of results; the notebooks' by default")] = None,
    profile: Annotated[str | None, typer.Option(help="smoke, quick or full; all by default")] = None,
) -> None:
    """Collect all results.json into one page (Markdown and HTML) and print it."""
    from omnilearn_lab.notebook.report import Report, collect_results, write_report

    for title, (head, *rows) in Report(collect_results(folder, profile=profile)).sections():
        show(make_table(title, head, rows, numbers=len(head) - 1))
    say("written: " + ", ".join(str(shorten(path)) for path in write_report(folder, profile=profile)))
