"""How commands show what they found: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from omnilearn_lab.errors import ConfigError

_PIPE_WIDTH = 160  # characters, where the output is no terminal
_LONGEST_WORD = 30  # which a narrow terminal does not break


def show(table: Table) -> None:
    """Print a table, wide enough also when written to a file; where all is too narrow, words are broken."""
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    if sum(2 + (column.min_width or 0) for column in table.columns) > console.width:
        for column in table.columns:
            column.min_width, column.no_wrap = None, column is table.columns[0]
    console.print(table)


def say(text: str) -> None:
    """Print a sentence as it is: no markup, no line breaks of ours."""
    Console(highlight=False).print(escape(text), soft_wrap=True)


def show_json(values: Any) -> None:
    """Print values as JSON; what JSON does not know (paths, for example) becomes text."""
    typer.echo(json.dumps(values, indent=2, default=str))


def show_error(error: Exception) -> None:
    """Print an error to the error stream, in one red line."""
    text = " ".join(str(error).split())
    Console(stderr=True, highlight=False).print(f"[bold red]error:[/] [red]{escape(text)}[/]", soft_wrap=True)


def make_table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int = 0) -> Table:
    """Return a table of texts; its last ``numbers`` columns are aligned to the right, and words stay whole.

    Examples
    --------
    >>> make_table("jets", ("name", "pt"), [("a", "600")], numbers=1).columns[1].justify
    'right'
    """
    table, rows = Table(title=title, show_header=any(heads), box=box.SIMPLE_HEAD), list(rows)
    table.padding, table.pad_edge = (0, 1, 0, 0), False
    for position, head in enumerate(heads):
        justify = "right" if position >= len(heads) - numbers else "left"
        words = " ".join([head, *(row[position] for row in rows)]).split()
        width = max((len(word) for word in words if len(word) <= _LONGEST_WORD), default=0)
        table.add_column(escape(head), justify=justify, overflow="fold", min_width=width)
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def hdf5_target(path: Path) -> Path:
    """Return where HDF5 is to be written, after a look at its ending and a word on a folder to be made.

    Raises
    ------
    ConfigError
        For another ending: what is inside could not be told from the name.
    """
    if path.suffix not in (".h5", ".hdf5"):
        raise ConfigError(f"'{path}' would hold HDF5; name it '{path.with_suffix('.h5').name}'")
    if not path.parent.is_dir():
        say(f"making the folder {shorten(path.parent)}")
    return path


def shorten(path: Path) -> str:
    """Return a path relative to the working directory where it lies inside."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
