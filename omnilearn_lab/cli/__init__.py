"""The command line: the same things as in the notebooks, for terminals and batch nodes."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from omnilearn_lab import __version__
from omnilearn_lab.cli import analysis, data, pretrain, run
from omnilearn_lab.cli.display import show_error
from omnilearn_lab.errors import OmniLearnLabError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    invoke_without_command=False,
    rich_markup_mode=None,
)
app.command()(run.run)
app.command()(run.report)
app.command()(run.doctor)
app.command()(data.simulate)
app.command()(pretrain.pretrain)
for command in (
    analysis.inspect,
    analysis.finetune,
    analysis.predict,
    analysis.evaluate,
    analysis.embed,
    analysis.generate,
    analysis.export,
    analysis.reweight,
    analysis.unfold,
):
    app.command()(command)
app.add_typer(data.data_app, name="data")
app.add_typer(run.notebooks_app, name="notebooks")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"omnilearn_lab {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="print the version", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """OmniLearn and OmniLearned, the jet foundation models, from the command line."""


def main() -> None:
    """Run the command line; an error of ours becomes one line and exit status 1."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")  # of libraries: warnings
    logging.getLogger("omnilearn_lab").setLevel(logging.INFO)
    try:
        app()
    except OmniLearnLabError as error:
        show_error(error)
        raise SystemExit(1) from None
