"""omnilearn-lab run, report, notebooks and doctor: the numbered notebooks from a shell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.table import Table

from omnilearn_lab.cli.display import make_table, say, shorten, show
from omnilearn_lab.errors import ConfigError, OmniLearnLabError

if TYPE_CHECKING:
    from omnilearn_lab.notebook.execute import ExecutedNotebook
    from omnilearn_lab.tasks.common.comparison import ComparisonRecord


notebooks_app = typer.Typer(no_args_is_help=True, help="The numbered notebooks: list them, take a copy.")


def run(
    notebook: Annotated[str, typer.Argument(help="a notebook's name or number, or 'all'")],
    profile: Annotated[str, typer.Option(help="smoke, quick, long or full")] = "quick",
    parameters: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="a value for the cell of parameters"),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--notebooks", help="their folder; else the nearest, else those shipped")
    ] = None,
) -> None:
    """Execute a notebook and print a summary of its results; 'all' goes on after a failing one.

    Example: omnilearn-lab run 03 --profile smoke
    """
    from omnilearn_lab.notebook.execute import execute_notebook, find_notebooks

    given = {"parameters": dict(map(_parameter, parameters or ())), "folder": folder}
    if notebook != "all":
        _show_results(execute_notebook(notebook, profile, **given))
        return
    lines, n_failed = [], 0
    for name in find_notebooks(folder):
        try:
            done = execute_notebook(name, profile, **given)
            _show_results(done)
            lines.append(f"{name}: {done.seconds:.0f} s, {done.peak_memory_gb:.2f} GB")
        except OmniLearnLabError as error:
            n_failed += 1
            lines.append(f"{name}: FAILED: {error}")
    say("\n".join(lines))
    if n_failed:
        raise typer.Exit(1)


def copy(
    folder: Annotated[Path, typer.Argument(help="where to put them")] = Path("notebooks"),
    overwrite: Annotated[bool, typer.Option(help="replace notebooks that are there")] = False,
) -> None:
    """Copy the numbered notebooks to a folder of yours: they are yours to change.

    Example: omnilearn-lab notebooks copy my_notebooks
    """
    from omnilearn_lab.notebook.execute import copy_notebooks

    paths = copy_notebooks(folder, overwrite=overwrite)
    say(f"{len(paths)} notebooks in {shorten(folder.absolute())}; open them with: jupyter lab {folder}")


def list_notebooks() -> None:
    """List the notebooks: what each shows, and how long it takes here; doctor tells what full costs."""
    from omnilearn_lab.notebook import notebook_map, this_machine

    head, *rows = ((name, shows, quick) for name, shows, _, quick, *_ in notebook_map(this_machine()).table())
    show(make_table("notebooks", head, rows))


def _parameter(text: str) -> tuple[str, Any]:
    """NAME=VALUE, the value as YAML reads it."""
    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        raise ConfigError(f"'{text}' is no parameter; write NAME=VALUE, such as seed=2")
    return name, yaml.safe_load(value)


def _show_results(done: ExecutedNotebook) -> None:
    from omnilearn_lab.notebook.results import read_results

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


notebooks_app.command("copy")(copy)
notebooks_app.command("list")(list_notebooks)


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
