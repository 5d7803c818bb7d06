"""Executed copies of the notebooks for the site: ``python docs/executed.py``, a part of ``make docs``.

A page shows its notebook as executed in profile ``quick``: from the results folder, else from the copies that
``notebooks/recorded`` keeps. Those that have neither, or whose code was changed since, are executed here if
they take at most ``--minutes``; the others stay without figures, and say so. ``--keep`` puts small copies of
what the results folder holds among the recorded ones, for all who build the site later.
"""

from __future__ import annotations

import argparse
import base64
import json
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import generate
from omnilearn_lab.machine import write_text
from omnilearn_lab.notebook import execute_notebook, notebook_map, this_machine

_LOG = logging.getLogger("executed")


def missing(minutes: float) -> list[str]:
    """Return the notebooks without a current copy that are expected to take at most so many minutes."""
    machine = this_machine()
    return [
        name
        for name, entry in notebook_map(machine).entries.items()
        if entry.minutes("quick", machine) <= minutes and not _is_shown(name)
    ]


def _is_shown(name: str) -> bool:
    note = json.loads(generate.best_copy(generate.ROOT / "notebooks" / f"{name}.ipynb"))["cells"][1]["source"]
    return "profile `quick`" in note and "changed since" not in note


def keep(copy: Path) -> Path:
    """Put an executed copy among the recorded ones: small figures, no widgets, and where it ran."""
    notebook = generate.without_widgets(json.loads(copy.read_text(encoding="utf-8")))
    notebook["metadata"][generate.FACTS] = generate.facts_of(notebook, copy.parent)
    for cell in notebook["cells"]:
        cell["metadata"].pop("papermill", None)
        for output in cell.get("outputs", ()):
            if png := output.get("data", {}).get("image/png"):
                small = generate.small_picture(base64.b64decode(png))
                output["data"] |= {"image/png": base64.b64encode(small).decode(), "text/plain": "figure"}
    target = generate.RECORDED / copy.parent.parent.name / copy.parent.name / copy.name
    target.parent.mkdir(parents=True, exist_ok=True)
    return write_text(target, json.dumps(notebook, ensure_ascii=False, separators=(",", ":")) + "\n")


def main(arguments: list[str] | None = None) -> None:
    """Execute what is missing, or keep what there is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--minutes", type=float, default=1.0, help="of a notebook, at most, to execute it here"
    )
    parser.add_argument(
        "--keep", action="store_true", help="keep small copies of what the results folder holds"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.keep:
        for copy in sorted(generate.RESULTS.glob("[0-9][0-9]_*/quick/[0-9][0-9]_*.ipynb")):
            path = keep(copy)
            _LOG.info("%s: %d kB", path.relative_to(generate.ROOT), path.stat().st_size // 1000)
        return
    for name in missing(options.minutes):
        _LOG.info("%s: executing it for the site, profile quick", name)
        execute_notebook(name, "quick", folder=generate.ROOT / "notebooks")


if __name__ == "__main__":
    main()
