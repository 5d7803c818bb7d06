"""Binder and JupyterHub recipes: what they pin is what the project needs, and nothing for GPUs gets in."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
BINDER = ROOT / "binder"
PYTHON = (BINDER / "runtime.txt").read_text().strip().removeprefix("python-")
LINES = (BINDER / "requirements.txt").read_text().splitlines()
PINS = {
    canonicalize_name(name): version
    for name, _, version in (line.partition("==") for line in LINES if "==" in line)
}


def _needed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = project["dependencies"] + project["optional-dependencies"]["dashboard"]
    wanted = [Requirement(text) for text in texts]
    about = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.0"}
    return [r for r in wanted if r.marker is None or r.marker.evaluate(about)]


@pytest.fixture(scope="module")
def links():
    spec = importlib.util.spec_from_file_location("links", BINDER / "links.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("requirement", _needed(), ids=lambda r: r.name)
def test_every_dependency_is_pinned_within_its_bounds(requirement):
    version = PINS.get(canonicalize_name(requirement.name))
    assert version, f"{requirement.name} is missing: run python binder/lock.py"
    assert requirement.specifier.contains(version), f"{version} is pinned: run python binder/lock.py"


def test_torch_is_a_cpu_build_and_nothing_is_for_gpus():
    assert PINS["torch"].endswith("+cpu")
    assert not [name for name in PINS if name.startswith(("nvidia", "cuda", "triton"))]


def test_everything_is_pinned_and_the_project_comes_last():
    assert LINES[-1] == "-e ."
    assert LINES[0].startswith("#")
    assert LINES[1].startswith("--extra-index-url https://")
    assert all("==" in line for line in LINES[2:-1])


def test_python_is_one_we_support():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert Requirement(f"python{project['requires-python']}").specifier.contains(f"{PYTHON}.1")


@pytest.mark.parametrize("script", ["postBuild", "start"])
def test_scripts_are_strict_executable_and_parse(script):
    path = BINDER / script
    assert "set -euo pipefail" in path.read_text()
    assert path.stat().st_mode & 0o111
    subprocess.run([shutil.which("bash"), "-n", path], check=True)


def test_links_name_existing_notebooks(links):
    assert (ROOT / links.FIRST).is_file()
    for address in ("https://github.com/a/b.git", "git@github.com:a/b.git"):
        assert links.binder_link(address).startswith(
            "https://mybinder.org/v2/gh/a/b/main?urlpath=lab%2Ftree%2F"
        )
    hub = links.nbgitpuller_link("https://github.com/a/b", "https://hub.org/")
    assert "branch=main" in hub
    assert "lab%2Ftree%2Fb%2Fnotebooks" in hub


def test_links_refuse_other_addresses(links):
    with pytest.raises(SystemExit, match="not an https address"):
        links.binder_link("http://github.com/a/b")


def test_hub_settings_offer_three_servers_and_shared_memory():
    hub = yaml.safe_load((BINDER / "jupyterhub" / "values.yaml").read_text())["singleuser"]
    gpus = [
        int(p["kubespawner_override"].get("extra_resource_limits", {}).get("nvidia.com/gpu", 0))
        for p in hub["profileList"]
    ]
    assert gpus == [0, 1, 4]
    mounts = {m["mountPath"]: m for m in hub["storage"]["extraVolumeMounts"]}
    assert "/dev/shm" in mounts
    assert mounts[hub["extraEnv"]["OMNILEARN_LAB_DATA"]]["readOnly"]


@pytest.mark.slow
@pytest.mark.binder
def test_repo2docker_accepts_the_repository(tmp_path):
    command = shutil.which("repo2docker")
    if command is None:
        pytest.skip("repo2docker is not installed: pip install jupyter-repo2docker")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", f"file://{ROOT}", clone], check=True)
    arguments = [command, "--no-build", "--debug", clone]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    recipe = done.stdout + done.stderr
    assert "for python=3.12" in recipe
    assert 'pip install --no-cache-dir -r "binder/requirements.txt"' in recipe
    assert "RUN ./binder/postBuild" in recipe
