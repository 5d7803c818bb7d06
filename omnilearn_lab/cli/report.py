"""``omnilearn-lab report`` and ``doctor``: all results on one page; is this machine in order?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from omnilearn_lab.cli.display import make_table, say, shorten, show


def report(
    folder: Annotated[Path | None, typer.Option(help="folder of results; the notebooks' by default")] = None,
    profile: Annotated[str | None, typer.Option(help="smoke, quick or full; all by default")] = None,
) -> None:
    """Collect all results.json into one page (Markdown and HTML) and print it."""
    from omnilearn_lab.notebook.report import Report, collect_results, write_report

    for title, (head, *rows) in Report(collect_results(folder, profile=profile)).sections():
        show(make_table(title, head, rows, numbers=len(head) - 1))
    say("written: " + ", ".join(str(shorten(path)) for path in write_report(folder, profile=profile)))


def doctor() -> None:
    """Check Python, torch, GPU, memory, folders and versions, and what each profile costs here.

    Example: omnilearn-lab doctor
    """
    from omnilearn_lab.notebook import notebook_map, this_machine
    from omnilearn_lab.notebook.hardware import check_machine

    checks = check_machine()
    rows = [("ok" if c.is_good else "LOOK", c.what, c.value, "" if c.is_good else c.remedy) for c in checks]
    show(make_table("this machine", ("", "what", "found", "what to do"), rows))
    head, *costs = notebook_map(this_machine()).table()
    keep = [head.index(name) for name in ("notebook", "smoke", "quick", "full, on this machine")]
    show(
        make_table(
            "what notebooks cost here", [head[i] for i in keep], [[row[i] for i in keep] for row in costs]
        )
    )
    if not all(check.is_good for check in checks):
        raise typer.Exit(1)
