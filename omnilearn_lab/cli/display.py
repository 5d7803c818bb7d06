"""How commands show what they found: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

__all__ = ["make_table", "say", "shorten", "show", "show_error", "show_json"]

_PIPE_WIDTH = 160  # characters, where the output is no terminal


def show(what: Any) -> None:
    """Print a table (or anything that rich can draw), wide enough also when written to a file."""
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(what)


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
    """Return a table of texts; its last ``numbers`` columns are aligned to the right.

    Examples
    --------
    >>> make_table("jets", ("name", "pt"), [("a", "600")], numbers=1).columns[1].justify
    'right'
    """
    table = Table(title=title, show_header=any(heads))
    for position, head in enumerate(heads):
        is_number = position >= len(heads) - numbers
        table.add_column(escape(head), justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def shorten(path: Path) -> str:
    """Return a path relative to the working directory where it lies inside."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
