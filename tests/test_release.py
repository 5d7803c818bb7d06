"""The checks before a release, those that are fast, and that each of them can fail."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from email.message import Message
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def release():
    spec = importlib.util.spec_from_file_location("release", ROOT / "docs" / "release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_versions_agree(release, monkeypatch, tmp_path):
    assert release.versions() == []
    for name in ("pyproject.toml", "CITATION.cff", "CHANGELOG.md", "omnilearn_lab/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    text = (tmp_path / "pyproject.toml").read_text()
    (tmp_path / "pyproject.toml").write_text(text.replace('version = "0.1.0"', 'version = "9.9"'))
    monkeypatch.setattr(release, "ROOT", tmp_path)
    assert len(release.versions()) == 3 and all("does not say 9.9" in fault for fault in release.versions())


def distribution(name, **about):
    message = Message()
    message["Name"] = name
    for field, value in about.items():
        message[field.replace("_", "-")] = value
    return SimpleNamespace(metadata=message, version="1")


def test_every_dependency_states_its_licence(release, monkeypatch):
    assert {one.metadata["Name"] for one in release.dependencies()} >= {"torch", "numpy", "fastjet"}
    assert release.licences() == []
    made = [
        distribution("silent"),
        distribution("viral", Classifier="License :: OSI Approved :: GNU General Public License v3 (GPLv3)"),
        distribution("lesser", License_Expression="LGPL-3.0-or-later"),
        distribution("pythia8mc", License="GNU GPL v2 or later"),
    ]
    monkeypatch.setattr(release, "dependencies", lambda: made)
    assert [fault.split()[0] for fault in release.licences()] == ["silent", "viral"]


@pytest.mark.parametrize(
    ("output", "status", "n_faults"),
    [
        ("took 3 s\nas expected (9 numbers)", 0, 0),
        ("not as expected (9 numbers):", 0, 1),
        ("took 3 s", 0, 0),
        ("", 1, 1),
    ],
)
def test_the_notebook_is_judged(release, monkeypatch, output, status, n_faults):
    done = SimpleNamespace(stdout=output, stderr="error: failed", returncode=status)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert len(release.notebook()) == n_faults


def test_the_exit_status_counts_what_fails(release, monkeypatch, capsys):
    def good():
        return []

    def bad():
        return ["a fault"]

    monkeypatch.setattr(release, "CHECKS", (good, bad))
    assert release.main([]) == 1 and release.main(["--without", "bad"]) == 0


def test_a_release_keeps_its_site_beside_earlier_ones(release, tmp_path):
    site, kept = tmp_path / "site", tmp_path / "versions"
    for folder in (site, kept / "0.0.9", kept / "0.0.10"):
        folder.mkdir(parents=True)
        (folder / "index.html").write_text(folder.name)
    text = release.keep(site, kept).read_text()
    assert re.findall(r'href="([\d.]+)/', text) == ["0.1.0", "0.0.10", "0.0.9"]
    assert (kept / "0.1.0" / "index.html").read_text() == "site"
    assert (kept / "0.0.9" / "index.html").read_text() == "0.0.9"


def test_hooks_run_before_a_commit_find_stored_outputs():
    import yaml

    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = {hook["id"]: hook for hook in config["repos"][0]["hooks"]}
    assert set(hooks) == {"ruff", "ruff-format", "notebook-outputs", "types"}
    pattern = re.compile(hooks["notebook-outputs"]["entry"])
    stored = '{"execution_count": 3, "outputs": [{"output_type": "stream"}]}'
    assert len(pattern.findall(stored)) == 2
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert re.search(hooks["notebook-outputs"]["files"], f"notebooks/{notebook.name}")
        assert not pattern.search(notebook.read_text())


@pytest.mark.slow
def test_the_public_rooms_are_typed():
    pytest.importorskip("mypy")
    done = subprocess.run(
        [sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
