"""Find a dataset, see what it is, simulate or fetch it, cite it."""

from __future__ import annotations

import html
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import ipywidgets

from omnilearn_lab.catalog import CatalogView, catalog, citation, fetch, files, load
from omnilearn_lab.display import html_table
from omnilearn_lab.widgets.view import button, framed, in_background, row

_COLUMNS = ("title", "kind", "published jets", "GB", "stand-in")


class CatalogBrowser:
    """The catalogue as a list to search.

    Simulating and fetching run beside the notebook: the line below the buttons counts the seconds, and the
    result is kept in `jets`.

    Parameters
    ----------
    view : CatalogView, optional
        The package's catalogue by default.
    n_jets
        Jets to simulate.

    Examples
    --------
    >>> browser = CatalogBrowser()
    >>> browser.search.value = "quark gluon herwig"
    >>> browser.found()
    ('quark_gluon',)
    """

    def __init__(self, view: CatalogView | None = None, *, n_jets: int = 1000) -> None:
        self.view, self.n_jets, self.jets = view or catalog(), n_jets, None
        self.search = ipywidgets.Text(description="search", tooltip="words in name, title or physics")
        self.choice = ipywidgets.Select(options=tuple(self.view), description="dataset", rows=8)
        self.choice.tooltip = "one dataset"
        self.simulate = button(
            "simulate", f"simulate {n_jets:,} jets of the stand-in, or take them from the cache"
        )
        self.fetch = button("fetch", "download the published files; a stopped download goes on")
        self.state, self.text = ipywidgets.HTML(), ipywidgets.HTML(layout={"flex": "1 1 24em"})
        self.search.observe(self._filter, names="value")
        self.choice.observe(self._show, names="value")
        self.simulate.on_click(lambda _: self.start(self._simulate))
        self.fetch.on_click(lambda _: self.start(self._fetch))
        left = ipywidgets.VBox(
            [self.search, self.choice, ipywidgets.HBox([self.simulate, self.fetch]), self.state]
        )
        self.widget = framed([row([left, self.text])], "CatalogBrowser")
        self._is_busy = False
        self._show()

    def found(self) -> tuple[str, ...]:
        """Return the names of the datasets that the search text fits, in the catalogue's order."""
        words = self.search.value.lower().split()
        return tuple(name for name in self.view if all(word in self._words(name) for word in words))

    def start(self, work: Callable[[str], str]) -> threading.Thread:
        """Do work on the chosen dataset in a thread, with a line that counts the seconds."""
        name = self.choice.value
        self._set_busy(True)
        return in_background(
            partial(work, name), self.state, f"working on {name}", partial(self._set_busy, False)
        )

    def _set_busy(self, is_busy: bool) -> None:
        self._is_busy = self.simulate.disabled = self.fetch.disabled = is_busy
        self._show()

    def _simulate(self, name: str) -> str:
        options: dict[str, Any] = {"source": "simulated", "max_jets": self.n_jets}
        self.jets = load(name, "val", **options)
        return f"{html.escape(name)}: {len(self.jets):,} simulated jets, now in <code>.jets</code>"

    def _fetch(self, name: str) -> str:
        n_here, n_unknown = len(fetch(name)), sum(file.checksum is None for file in files(self.view[name]))
        unverified = f"; {n_unknown} are unverified: their publisher gives no checksum" if n_unknown else ""
        return f"{html.escape(name)}: {n_here} published files are here{unverified}"

    def _filter(self, _: object = None) -> None:
        self.choice.options = self.found()
        self._show()

    def _show(self, _: object = None) -> None:
        name = self.choice.value
        item = self.view[name] if name else None
        if not self._is_busy:
            self.simulate.disabled = item is None or item.recipe is None
            self.fetch.disabled = item is None or not item.size_gb
        self.text.value = self._description(name) if name else "<p>nothing fits</p>"

    def _description(self, name: str) -> str:
        item = self.view[name]
        _, *cells = next(row for row in self.view.rows() if row[0] == name)
        rows = list(zip(_COLUMNS, cells, strict=True))
        return (
            f"<h4>{html.escape(name)}</h4><p>{html.escape(item.physics)}</p>{html_table(rows, head=False)}"
            "<div><button class='jupyter-button omnilearn-copy' title='to the clipboard'>"
            "copy citation</button>"
            f"<pre style='white-space: pre-wrap; word-break: normal'>{html.escape(citation(name))}</pre>"
            "</div>"
        )

    def _words(self, name: str) -> str:
        item = self.view[name]
        return f"{name} {item.title} {item.physics}".lower()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """Offer the live widget and, for readers without a kernel, the catalogue's table."""
        live = self.widget._repr_mimebundle_() or {}
        return {**live, "text/html": self.view._repr_html_(), "text/plain": repr(self.view)}
