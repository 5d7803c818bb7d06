"""omnilearn-lab run, report, notebooks and doctor: the numbered notebooks from a shell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.table import Table

import omnilearn_lab as lab
from omnilearn_lab.cli.display import make_table, say, shorten, show
from omnilearn_lab.errors import ConfigError, OmniLearnLabError

if TYPE_CHECKING:
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
    record: Annotated[
        bool, typer.Option("--record", help="keep the results among the recorded runs, notebooks/recorded")
    ] = False,
    golden: Annotated[
        int,
        typer.Option(
            metavar="N", help="repeat with N seeds and keep the numbers to expect, with their bands"
        ),
    ] = 0,
) -> None:
    """Execute a notebook, print a summary, and say whether its numbers are as expected.

    'all' goes on after a failing one. Example: omnilearn-lab run 03 --profile smoke
    """
    given = dict(map(_parameter, parameters or ()))
    if golden and (given or golden < 2):
        raise ConfigError(
            "the numbers to expect are those of two seeds or more (--golden 3) and no other --parameter"
        )
    options = (given, folder, record, golden)
    if notebook != "all":
        _run(notebook, profile, *options)
        return
    lines, n_failed = [], 0
    for name in lab.notebook.execute.find_notebooks(folder):
        try:
            done = _run(name, profile, *options)
            lines.append(f"{name}: {done.seconds:.0f} s, {done.peak_memory_gb:.2f} GB")
        except OmniLearnLabError as error:
            n_failed += 1
            lines.append(f"{name}: FAILED: {error}")
    say("\n".join(lines))
    if n_failed:
        raise typer.Exit(1)


def _run(
    name: str, profile: str, given: dict[str, Any], folder: Path | None, record: bool, golden: int
) -> lab.notebook.execute.ExecutedNotebook:
    """Execute a notebook, show it, and keep what is asked for; seed 1 comes last, so that its copy stays."""
    repeats = {}
    for seed in range(golden, 1, -1):
        done = lab.notebook.execute_notebook(name, profile, parameters={"seed": seed}, folder=folder)
        repeats[seed] = lab.notebook.recorded.read_results(done.directory)
    done = lab.notebook.execute_notebook(name, profile, parameters=given, folder=folder)
    if golden:
        repeats = {1: lab.notebook.recorded.read_results(done.directory)} | repeats
        say(f"{golden} repeats: {shorten(lab.notebook.recorded.expect(repeats))}")
    _show_results(done, is_plain=not given)
    if record:
        say(f"recorded: {shorten(lab.notebook.recorded.record_run(done.directory))}")
    return done


def copy(
    folder: Annotated[Path, typer.Argument(help="where to put them")] = Path("notebooks"),
    overwrite: Annotated[bool, typer.Option(help="replace notebooks that are there")] = False,
) -> None:
    """Copy the numbered notebooks to a folder of yours: they are yours to change.

    Example: omnilearn-lab notebooks copy my_notebooks
    """
    paths = lab.notebook.execute.copy_notebooks(folder, overwrite=overwrite)
    say(f"{len(paths)} notebooks in {shorten(folder.absolute())}; open them with: jupyter lab {folder}")


def list_notebooks() -> None:
    """List the notebooks: what each shows, and how long it takes here; doctor tells what full costs."""
    table = lab.notebook.notebook_map(lab.notebook.this_machine()).table()
    head, *rows = ((name, shows, quick) for name, shows, _, quick, *_ in table)
    show(make_table("notebooks", head, rows))


def _parameter(text: str) -> tuple[str, Any]:
    """NAME=VALUE, the value as YAML reads it."""
    name, sign, value = text.partition("=")
    if not sign or not name.isidentifier():
        raise ConfigError(f"'{text}' is no parameter; write NAME=VALUE, such as seed=2")
    return name, yaml.safe_load(value)


def _show_results(done: lab.notebook.execute.ExecutedNotebook, *, is_plain: bool) -> None:
    if (done.directory / "results.json").is_file():
        found = lab.notebook.recorded.read_results(done.directory)
        for title, comparison in found.comparisons.items():
            title = f"{found.notebook}: {title} ({found.source})"
            show(comparison_table(title, comparison, is_judged=found.is_judged))
        say("; ".join(f"{step} {seconds:.0f} s" for step, seconds in found.seconds.items()))
        expected = lab.notebook.recorded.expected_run(found.notebook, found.profile) if is_plain else None
        lines = [expected.judged(found)] if expected else []
        say("\n".join(lines if found.is_judged else [lab.notebook.results.NO_VERDICT, *lines]))
    say(
        f"{done.name} ({done.profile}) took {done.seconds:.0f} s and {done.peak_memory_gb:.2f} GB of memory; "
        f"results in {shorten(done.directory)}"
    )


def comparison_table(title: str, comparison: ComparisonRecord, *, is_judged: bool = True) -> Table:
    """Return scratch, fine-tuned, gain and published numbers of a comparison side by side."""
    head, *rows = lab.notebook.report.comparison_rows(comparison, is_judged=is_judged)
    return make_table(title, head, rows, numbers=len(head) - 1)


notebooks_app.command("copy")(copy)
notebooks_app.command("list")(list_notebooks)


def report(
    folder: Annotated[Path | None, typer.Option(help="folder of results; the notebooks' by default")] = None,
    profile: Annotated[str | None, typer.Option(help="smoke, quick, long or full; all by default")] = None,
    recorded: Annotated[
        bool, typer.Option("--recorded", help="the recorded runs, on a page in results/recorded")
    ] = False,
) -> None:
    """Collect all results.json into one page (Markdown and HTML) and print it."""
    source = lab.notebook.recorded.RECORDED if recorded else folder
    target = folder or lab.notebook.results.results_root() / "recorded" if recorded else folder
    results = lab.notebook.collect_results(source, profile=profile)
    for title, (head, *rows) in lab.notebook.Report(results).sections():
        show(make_table(title, head, rows, numbers=len(head) - 1))
    paths = lab.notebook.write_report(source, profile=profile, target=target)
    say("written: " + ", ".join(str(shorten(path)) for path in paths))


def doctor() -> None:
    """Check Python, torch, GPU, memory, folders and versions, and what each profile costs here.

    Example: omnilearn-lab doctor
    """
    checks = lab.notebook.hardware.check_machine()
    rows = [("ok" if c.is_good else "LOOK", c.what, c.value, "" if c.is_good else c.remedy) for c in checks]
    show(make_table("this machine", ("", "what", "found", "what to do"), rows))
    head, *costs = lab.notebook.notebook_map(lab.notebook.this_machine()).table()
    keep = [head.index(name) for name in ("notebook", "smoke", "quick", "long", "full, on this machine")]
    rows = [[row[i] for i in keep] for row in costs]
    show(make_table("what notebooks cost here", [head[i] for i in keep], rows))
    if not all(check.is_good for check in checks):
        raise typer.Exit(1)
