"""Installed from a wheel, away from the repository, the package is complete."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of the files that git would take, built beside the repository."""
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"
    skipped = shutil.ignore_patterns(".*", "build", "results", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, sources, ignore=skipped, symlinks=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(folder), str(sources)], check=True)
    return next(folder.glob("*.whl"))


def test_everything_that_runs_need_is_inside(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    notebooks = {
        f"omnilearn_lab/notebook/numbered/{path.name}"
        for path in (*(ROOT / "notebooks").glob("*.ipynb"), ROOT / "notebooks" / "glossary.md")
    }
    assert len(notebooks) > 16 and notebooks <= names
    recorded = {
        path.relative_to(ROOT / "notebooks") for path in (ROOT / "notebooks/recorded").rglob("*.json")
    }
    assert {f"omnilearn_lab/notebook/numbered/{path.as_posix()}" for path in recorded} <= names
    package = ROOT / "omnilearn_lab"
    data = {path for end in ("yaml", "safetensors", "json", "mplstyle") for path in package.rglob(f"*.{end}")}
    assert data and {path.relative_to(ROOT).as_posix() for path in data} <= names
    assert "omnilearn_lab/py.typed" in names


@pytest.mark.slow
def test_notebooks_run_from_an_empty_folder(wheel, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    site = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))  # but not this checkout
    install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True)
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["JUPYTER_PATH"] = str(Path(sys.prefix) / "share" / "jupyter")  # templates of pages
    for arguments in (
        ("notebooks", "copy", "mine"),
        ("run", "00", "--profile", "smoke"),
        ("run", "3", "--profile", "smoke"),
    ):
        command = [str(python), "-m", "omnilearn_lab.cli", *arguments]
        subprocess.run(command, check=True, cwd=empty, env=environment)
    assert (empty / "mine" / "03_finetune_top.ipynb").is_file()
    for name in ("00_start_here", "03_finetune_top"):
        assert (empty / "results" / name / "smoke" / "results.json").is_file()
