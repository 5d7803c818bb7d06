"""The documentation site: every public name has its place, and the whole site builds without a warning."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_room_has_a_page(generate):
    names = {p.stem for p in (ROOT / "omnilearn_lab").iterdir() if not p.name.startswith(("_", "py."))}
    assert {name.split(".")[0] for name in generate.rooms()} == names - {"cli"}


def test_every_public_name_is_listed(generate):
    for room in generate.rooms():
        members = re.findall(r"members: \[(.*)\]", generate.reference_page(room))
        listed = set(re.findall(r"\w+", " ".join(members)))
        missing = set(getattr(importlib.import_module(f"omnilearn_lab.{room}"), "__all__", ())) - listed
        assert not missing, f"{room}: {missing}"


def test_every_notebook_is_in_the_contents(generate):
    contents = generate.pages()["SUMMARY.md"]
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"notebooks/{notebook.name}" in contents


def test_links_of_the_readme_lead_somewhere():
    text = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (ROOT / target).exists(), target


@pytest.mark.slow
def test_site_builds(tmp_path):
    pytest.importorskip("mkdocs", reason="pip install -e '.[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    quiet = {"NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}
    options = {"cwd": ROOT, "env": os.environ | quiet, "capture_output": True, "text": True}
    done = subprocess.run(command, check=False, **options)
    warnings = [line for line in done.stderr.splitlines() if line.startswith(("WARNING", "ERROR"))]
    assert done.returncode == 0, warnings or done.stderr[-3000:]  # with --quiet, warnings would not count
    assert (tmp_path / "reference" / "models.html").is_file()
    assert "<math " in (tmp_path / "reference" / "models.html").read_text()


def test_formulas_need_no_script(generate):
    pytest.importorskip("latex2mathml", reason="pip install -e '.[docs]'")
    found = generate.on_page_content("<p>.. math:: a &lt; b</p><p>with :math:<code>x^2</code></p>", page=None)
    assert found.count("<math ") == 2
    assert ":math:" not in found
    cell = {"cell_type": "markdown", "source": ["jets of $R=0.8$ or ", "$$S/\\sqrt{B}$$"]}
    done = json.loads(generate.with_formulas(json.dumps({"cells": [cell]})))["cells"][0]["source"]
    assert done.count("<math ") == 2
    assert "$" not in done
