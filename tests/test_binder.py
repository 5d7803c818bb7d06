"""Binder and JupyterHub recipes: what they pin is what the project needs, and nothing for GPUs gets in."""

from __future__ import annotations

import importlib.util
import re
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
LINES, TORCH = ((BINDER / name).read_text().splitlines() for name in ("requirements.txt", "torch.txt"))
PIN = re.compile(r"([\w.-]+)==(\S+)(?: --hash=sha256:[0-9a-f]{64})?")
PINS = {
    canonicalize_name(match[1]): match[2]
    for match in map(PIN.fullmatch, [*LINES, *TORCH])
    if match is not None
}


def _needed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = project["dependencies"] + project["optional-dependencies"]["dashboard"]
    wanted = [Requirement(text) for text in texts]
    about = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.0"}
    return [r for r in wanted if r.marker is None or r.marker.evaluate(about)]


def _script(name):
    spec = importlib.util.spec_from_file_location(name, BINDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def links():
    return _script("links")


@pytest.fixture(scope="module")
def lock():
    return _script("lock")


@pytest.mark.parametrize("requirement", _needed(), ids=lambda r: r.name)
def test_every_dependency_is_pinned_within_its_bounds(requirement):
    version = PINS.get(canonicalize_name(requirement.name))
    assert version, f"{requirement.name} is missing: run python binder/lock.py"
    assert requirement.specifier.contains(version), f"{version} is pinned: run python binder/lock.py"


def test_torch_is_a_cpu_build_and_nothing_is_for_gpus():
    assert PINS["torch"].endswith("+cpu")
    assert not [name for name in PINS if name.startswith(("nvidia", "cuda", "triton"))]


def test_everything_is_pinned_with_its_checksum():
    assert LINES[0].startswith("#") and LINES[1] == "--require-hashes"
    assert all(PIN.fullmatch(line) and "--hash=" in line for line in LINES[2:])


def test_torch_comes_from_the_index_for_cpus_alone_and_the_project_last():
    assert TORCH[1].startswith("--index-url https://") and TORCH[1].endswith("/cpu") and len(TORCH) == 3
    commands = [line for line in (BINDER / "postBuild").read_text().splitlines() if line.startswith("pip ")]
    assert [command.split()[-1] for command in commands] == ["binder/torch.txt", "."]
    assert all("--no-deps" in command for command in commands)


def test_checksums_of_this_machines_own_files_are_not_taken(lock):
    there = {"url": "https://example.org/a.whl", "archive_info": {"hashes": {"sha256": 64 * "a"}}}
    here = there | {"url": "file:///wheels/a.whl"}
    pins = [lock._pin({"metadata": {"version": "1"}, "download_info": source}) for source in (there, here)]
    assert "a==1 --hash=sha256:aaaa" in lock.requirements({"a": pins[0], "torch": pins[1]})
    with pytest.raises(SystemExit, match="no checksum of b"):
        lock.requirements({"a": pins[0], "b": pins[1]})


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


def test_the_hub_names_its_authenticator_and_limits_everything():
    values = yaml.safe_load((BINDER / "jupyterhub" / "values.yaml").read_text())
    hub, user = values["hub"], values["singleuser"]
    assert hub["config"]["JupyterHub"]["authenticator_class"] != "dummy"
    assert hub["config"]["Authenticator"]["allow_all"] is False
    assert hub["activeServerLimit"] and hub["concurrentSpawnLimit"] and values["proxy"]["https"]["enabled"]
    assert user["cpu"]["limit"] and user["memory"]["limit"] and user["allowPrivilegeEscalation"] is False
    assert user["image"]["tag"] != "latest"
    assert all({"cpu_limit", "mem_limit"} <= set(p["kubespawner_override"]) for p in user["profileList"])


def test_the_image_has_a_digest_and_holds_no_secret():
    recipe = (BINDER / "jupyterhub" / "Dockerfile").read_text()
    bases = [line for line in recipe.splitlines() if line.startswith("FROM")]
    assert bases and all(line.endswith("@${DIGEST}") for line in bases) and "USER ${NB_UID}" in recipe
    ignored = set((ROOT / ".dockerignore").read_text().split())
    assert {".git", ".venv", "results", "build", "**/.env", "**/*.pem"} <= ignored


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
