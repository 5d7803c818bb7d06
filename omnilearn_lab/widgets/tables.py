"""Small tables as HTML."""

from __future__ import annotations

import html
from collections.abc import Sequence

__all__ = ["html_table"]


def html_table(rows: Sequence[Sequence[object]], *, head: bool = True) -> str:
    """Return rows as an HTML table; everything in them is escaped.

    Parameters
    ----------
    rows
        Cells row by row.
    head
        Whether the first row is the head.

    Examples
    --------
    >>> html_table([("mass", "80 GeV")], head=False)
    '<table style="border-spacing: 1em 0.1em"><tr><td>mass</td><td>80 GeV</td></tr></table>'
    """
    tags = ["th" if head and i == 0 else "td" for i in range(len(rows))]
    lines = (
        "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in row) + "</tr>"
        for tag, row in zip(tags, rows, strict=True)
    )
    return f'<table style="border-spacing: 1em 0.1em">{"".join(lines)}</table>'
