"""Check every link of the built site: ``python docs/links.py [build/site]``.

Of links that lead elsewhere only the form is checked, as nothing is fetched.
"""

from __future__ import annotations

import argparse
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    """The anchors of a page, and what it links to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element is called and where it leads."""
        for name, value in attrs:
            if value and name in ("id", "name"):
                self.anchors.add(value)
            elif value and name in ("href", "src"):
                self.links.append(value)


@cache
def _read(path: Path) -> _Page:
    return _Page(path.read_text(encoding="utf-8"))


def broken_links(site: Path) -> list[str]:
    """Return "page: link" for each link to a file or a place that the site lacks, and for malformed ones."""
    site = site.resolve()
    pages = [path for path in sorted(site.rglob("*.html")) if path.name != "404.html"]  # which has no place
    return [
        f"{path.relative_to(site)}: {link}"
        for path in pages
        for link in _read(path).links
        if _is_broken(path, link)
    ]


def _is_broken(page: Path, link: str) -> bool:
    parts = urlsplit(link)
    if parts.scheme in ("http", "https") or parts.netloc:
        return not re.fullmatch(r"https?://([\w-]+\.)+[a-z]{2,}(:\d+)?([/?#]\S*)?", link)
    if parts.scheme:
        return parts.scheme not in ("data", "mailto", "javascript")
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    target = target / "index.html" if target.is_dir() else target
    if not target.is_file():
        return True
    anchor = unquote(parts.fragment)
    return bool(anchor) and target.suffix == ".html" and anchor not in _read(target).anchors


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", nargs="?", type=Path, default=Path("build/site"))
    broken = broken_links(parser.parse_args().site)
    raise SystemExit("\n".join([*broken, f"{len(broken)} broken links"]) if broken else 0)
