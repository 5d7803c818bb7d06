"""Binder and JupyterHub recipes: what they pin is what the project needs, and nothing for GPUs gets in."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import nbformat
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


def test_torch_has_a_checksum_or_the_file_says_why_not(lock, monkeypatch):
    says_why = "\n".join(TORCH).startswith(lock.NO_CHECKSUM)
    assert ("--hash=" in TORCH[-1]) != says_why

    def unreachable(*_, **__):
        raise subprocess.CalledProcessError(1, "pip")

    monkeypatch.setattr(lock, "resolve", unreachable)
    assert lock.torch_line("2.13.0") == f"{lock.NO_CHECKSUM}{lock.TORCH_HEAD}torch==2.13.0+cpu\n"
    monkeypatch.setattr(lock, "resolve", lambda *_, **__: {"torch": lock.Pin("2.13.0+cpu", 64 * "a")})
    assert lock.torch_line("2.13.0") == f"{lock.TORCH_HEAD}torch==2.13.0+cpu --hash=sha256:{64 * 'a'}\n"


def test_torch_comes_from_the_index_for_cpus_alone_and_the_project_last():
    index, pin = (line for line in TORCH if not line.startswith("#"))
    assert index.startswith("--index-url https://") and index.endswith("/cpu") and PIN.fullmatch(pin)
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


def test_colab_and_kaggle_open_the_first_notebook(links):
    for make in (links.colab_link, links.kaggle_link):
        assert make("git@github.com:a/b.git").endswith(
            f"github.com/a/b/blob/main/{links.FIRST}".split(".com/")[1]
        )


def _run_setup(links, monkeypatch, *, is_installed, numpy="1.0"):
    """Run the set-up cell as IPython would; returns what it asked pip for, and what it said."""
    source, asked, said = links.setup_cell("https://github.com/a/b"), [], []
    is_asking = re.compile(r"^( *)%pip (.*)$", re.MULTILINE)
    source = is_asking.sub(lambda m: f"{m[1]}pip({m[2]!r})", source)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if is_installed else None)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: numpy)
    exec(compile(source, "cell", "exec"), {"pip": asked.append, "print": said.append})
    return asked, said


def test_the_setup_cell_installs_only_where_the_package_is_missing(links, monkeypatch):
    assert _run_setup(links, monkeypatch, is_installed=True) == ([], [])
    asked, said = _run_setup(links, monkeypatch, is_installed=False)
    assert (
        asked[0].endswith("git+https://github.com/a/b@main")
        and "https://download.pytorch.org/whl/cpu" in asked[0]
    )
    assert "a few minutes" in said[0] and "restart" in said[1]  # NumPy is loaded here, in another version
    here = importlib.import_module("numpy").__version__
    assert "go on" in _run_setup(links, monkeypatch, is_installed=False, numpy=here)[1][1]


def test_setup_cells_are_written_once(links, tmp_path):
    shutil.copy(ROOT / links.FIRST, tmp_path)
    for branch in ("one", "two"):
        links.write_setup_cells(tmp_path, links.setup_cell("https://github.com/a/b", branch=branch))
    notebook = nbformat.read(tmp_path / Path(links.FIRST).name, as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[0].source.count("b@two") == 1 and links.SETUP not in notebook.cells[1].metadata.get(
        "tags", []
    )
    assert [cell.source for cell in notebook.cells[1:]] == [
        cell.source for cell in nbformat.read(ROOT / links.FIRST, as_version=4).cells
    ]


def test_what_pip_must_not_build_is_named_alike_everywhere(links):
    hub = (BINDER / "jupyterhub" / "Dockerfile").read_text()
    for text in ((ROOT / "Makefile").read_text(), (ROOT / "environment.yml").read_text()):
        assert links.BINARY in text
    assert "--only-binary pythia8mc,fastjet,wasserstein" in hub  # the image has its own torch


def test_conda_gives_python_and_pip_the_rest_within_our_bounds():
    made = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = made["dependencies"]
    assert conda == [f"python={PYTHON}", "pip"]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = [line for line in pip["pip"] if not line.startswith("--")]
    assert wanted == ["-e .[dashboard]"] and "dashboard" in extras  # no second list of versions


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


def _instructions(recipe):
    """The instructions of a Dockerfile as (word, rest), continued lines joined."""
    lines = [line for line in recipe.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(" ", 1)) for line in joined.splitlines()]


@pytest.mark.parametrize("place", ["Dockerfile", "jupyterhub/Dockerfile"])
def test_an_image_has_a_digest_an_ordinary_user_and_files_that_exist(place):
    steps = _instructions((BINDER / place).read_text())
    words = [word for word, _ in steps]
    assert set(words) <= {"ARG", "FROM", "RUN", "WORKDIR", "COPY", "USER", "EXPOSE", "CMD", "ENV"}
    assert words[:2] == ["ARG", "FROM"] and steps[0][1] == "DIGEST" and steps[1][1].endswith("@${DIGEST}")
    assert [rest for word, rest in steps if word == "USER"][-1] in ("lab", "${NB_UID}")
    for word, rest in steps:
        if word == "RUN":
            subprocess.run([shutil.which("bash"), "-n", "-c", rest], check=True)
            assert all((ROOT / name).is_file() for name in re.findall(r"-r (\S+)", rest))
        if word == "CMD":
            assert json.loads(rest)[:2] == ["jupyter", "lab"]


def test_images_hold_no_secret():
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
