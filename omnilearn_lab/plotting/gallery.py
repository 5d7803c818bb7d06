"""The gallery: every figure function once, on simulated jets, on one page.

``python -m omnilearn_lab.plotting.gallery`` writes ``results/gallery/index.html`` with PNG, PDF, and the
numbers of each figure. Nothing on the page needs a trained network: the classifiers are logistic
regressions on jet observables, trained in a second.
"""

from __future__ import annotations

import argparse
import html
import logging
from collections.abc import Sequence
from pathlib import Path
from string import Template

from omnilearn_lab.plotting.export import export_figure_data, save_figure, write_text
from omnilearn_lab.plotting.gallery_examples import Example, gallery_examples

__all__ = [
    "build_gallery",
    "main",
]

_LOG = logging.getLogger(__name__)

_PAGE = Template("""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>omnilearn_lab: figure gallery</title>
<style>
body { font-family: Helvetica, Arial, sans-serif; margin: 2rem auto; max-width: 78rem; color: #111; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(30rem, 1fr)); gap: 2rem; }
figure { margin: 0; border: 1px solid #ccc; padding: 1rem; }
figure.wide { grid-column: 1 / -1; }
img { max-width: 100%; height: auto; }
code { background: #f2f2f2; padding: 0.1rem 0.3rem; }
figcaption p { margin: 0.4rem 0; }
</style></head><body>
<h1>Figure gallery</h1>
<p>$about</p>
<main>
$figures
</main></body></html>
""")
_ENTRY = Template("""<figure class="$width" id="$name">
<img src="$name.png" alt="$alt">
<figcaption><p><code>plotting.$function</code></p><p>$caption</p>
<p><a href="$name.png">PNG</a> · <a href="$name.pdf">PDF</a> · <a href="$name/submission.yaml">numbers</a></p>
</figcaption></figure>""")


def build_gallery(folder: str | Path, *, n_jets: int = 4000, seed: int = 1) -> Path:
    """Draw every figure function and write the page.

    Parameters
    ----------
    folder
        Made if needed.
    n_jets
        Top-tagging jets to simulate (once; they are cached).
    seed
        Seed of simulation and examples.

    Returns
    -------
    Path
        The page, ``index.html``.

    Raises
    ------
    FigureError
        When the folder cannot be written.
    """
    folder = Path(folder)
    about, examples = gallery_examples(n_jets, seed)
    entries = [_entry(folder, example) for example in examples]
    page = _PAGE.substitute(about=html.escape(about), figures="\n".join(entries))
    return write_text(folder / "index.html", page)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line: ``python -m omnilearn_lab.plotting.gallery [folder] [--jets N]``."""
    parser = argparse.ArgumentParser(description="Build the page with every figure function.")
    parser.add_argument("folder", nargs="?", default="results/gallery")
    parser.add_argument("--jets", type=int, default=4000, help="top-tagging jets to simulate")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    page = build_gallery(options.folder, n_jets=options.jets, seed=options.seed)
    _LOG.info("gallery written to %s", page)


def _entry(folder: Path, example: Example) -> str:
    save_figure(example.figure, folder / example.name, dpi=130)
    export_figure_data(example.figure, folder / example.name)
    width, height = example.figure.get_size_inches()
    return _ENTRY.substitute(
        name=example.name,
        function=example.function,
        width="wide" if width / height > 1.8 or width > 9 else "",
        alt=html.escape(example.figure.alt_text),
        caption=html.escape(example.caption),
    )


if __name__ == "__main__":
    main()
