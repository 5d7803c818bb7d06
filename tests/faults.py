"""Break everything that `docs/promises.md` says survives, and print one table: `make faults`.

The rows are those of the section "What survives". Without root, mounting and other users are not tested; such
rows say so.
"""

from __future__ import annotations

import re
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "promises.md"
_ROW = re.compile(r"^\| (?P<kind>[^|]+) \| (?P<promise>[^|]+) \| (?P<tests>`[^|]+) \|$", re.MULTILINE)


class Promise(NamedTuple):
    """One line of the page."""

    kind: str
    promise: str
    tests: tuple[str, ...]


def promises(section: str = "") -> list[Promise]:
    """Return the lines of a section, or of all."""
    text = PAGE.read_text(encoding="utf-8")
    text = text.split(f"## {section}\n")[1].split("\n## ")[0] if section else text
    return [
        Promise(m["kind"], m["promise"], tuple(re.findall(r"`(.+?)`", m["tests"])))
        for m in _ROW.finditer(text)
    ]


class _Watch:
    """Note the outcome of every test by its name without parameters."""

    def __init__(self) -> None:
        self.outcomes: dict[str, list[str]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.nodeid.partition("[")[0]].append(report.outcome)


def main() -> int:
    """Run the tests, print the table; the exit status is 1 when a promise is broken."""
    rows = promises("What survives")
    watch, start = _Watch(), time.monotonic()
    names = list(dict.fromkeys(test for row in rows for test in row.tests))
    status = pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT), *names], plugins=[watch])
    print(f"\n{'fault':<14} {'held':>4} {'broken':>6} {'not tested':>10}  promise")
    for row in rows:
        found = [outcome for test in row.tests for outcome in watch.outcomes[test]]
        counts = (found.count("passed"), found.count("failed"), found.count("skipped") + (not found))
        print(f"{row.kind:<14} {counts[0]:>4} {counts[1]:>6} {counts[2]:>10}  {row.promise}")
    print(f"\n{len(names)} tests, {time.monotonic() - start:.0f} s")
    return int(status != 0)


if __name__ == "__main__":
    sys.exit(main())
