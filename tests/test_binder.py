"""Binder and JupyterHub recipes: what they pin is what the project needs, and nothing for GPUs gets in."""

from __future__ import annotations

import argparse
import ast
import importlib.metadata
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import jsonschema
import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
BINDER = ROOT / "binder"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHON = (BINDER / "runtime.txt").read_text().strip().removeprefix("python-")
LINES, TORCH = ((BINDER / name).read_text().splitlines() for name in ("requirements.txt", "torch.txt"))
PIN = re.compile(r"([\w.-]+)==(\S+)(?: --hash=sha256:[0-9a-f]{64})?")
PINS = {
    canonicalize_name(match[1]): match[2]
    for match in map(PIN.fullmatch, [*LINES, *TORCH])
    if match is not None
}


def _needed():
    texts = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dashboard"]
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
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(f"{PYTHON}.1")


@pytest.mark.parametrize("script", ["postBuild", "start", "tunnel"])
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
    extras = PROJECT["optional-dependencies"]
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


def _check_command(command):
    """One command of a RUN: what it names is in the repository, and Python's snippets compile."""
    program, *rest = shlex.split(command)
    if program == "python":
        assert rest[0] == "-c"
        imports = [node for node in ast.walk(ast.parse(rest[1])) if isinstance(node, ast.Import)]
        assert {name.name for node in imports for name in node.names} <= {"torch", "omnilearn_lab"}
    elif program == "pip":
        asked = _pip_options(rest)
        assert all((ROOT / name).is_file() for name in asked.requirement)
        assert set(asked.constraint) <= {"/tmp/constraints.txt"}
        for target in [*asked.editable, *(t for t in asked.targets if "/" in t or t == ".")]:
            extras = re.search(r"\[(.*)\]$", target)
            assert set(extras[1].split(",") if extras else ()) <= set(PROJECT["optional-dependencies"])
            assert target.split("[")[0] in (".", "/opt/omnilearn_lab")
    else:
        assert program in ("useradd", "rm"), program


def _pip_options(rest):
    """The options of ``pip install`` that the images use; any other one ends the test."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("install", choices=["install"])
    parser.add_argument("targets", nargs="*")
    for flag in ("--no-cache-dir", "--no-deps"):
        parser.add_argument(flag, action="store_true")
    for option in (("-r", "--requirement"), ("--constraint",), ("--editable",), ("--only-binary",)):
        parser.add_argument(*option, action="append", default=[])
    asked = parser.parse_intermixed_args(rest)
    assert set(asked.only_binary) <= {"pythia8mc,fastjet,wasserstein"}
    return asked


@pytest.mark.parametrize("place", ["Dockerfile", "jupyterhub/Dockerfile"])
def test_an_image_has_a_digest_an_ordinary_user_and_instructions_that_fit(place):
    recipe = (BINDER / place).read_text()
    steps = _instructions(recipe)
    words = [word for word, _ in steps]
    assert set(words) <= {"ARG", "FROM", "RUN", "WORKDIR", "COPY", "USER", "EXPOSE", "CMD", "ENV"}
    assert words[:2] == ["ARG", "FROM"] and steps[0][1] == "DIGEST" and steps[1][1].endswith("@${DIGEST}")
    assert [rest for word, rest in steps if word == "USER"][-1] in ("lab", "${NB_UID}")
    assert set(re.findall(r"python[:-](3\.\d+)", recipe)) == {PYTHON}  # the tags to look the digest up with
    for word, rest in steps:
        if word == "RUN":
            subprocess.run([shutil.which("bash"), "-n", "-c", rest], check=True)
            for command in rest.split(" && "):
                _check_command(command.split(" > ")[0])
        if word == "COPY":
            source, target = rest.split()[-2:]
            assert (ROOT / source).is_dir() and target in (".", "/opt/omnilearn_lab")
        if word == "ENV":
            name = rest.split("=")[0]
            assert any(name in path.read_text() for path in (ROOT / "omnilearn_lab").rglob("*.py")), name
        if word == "CMD":
            _check_server(json.loads(rest))


def _check_server(command):
    """JupyterLab knows each option, and the folder it starts in is there."""
    from jupyterlab.labapp import LabApp

    assert command[:2] == ["jupyter", "lab"]
    options = dict(option.removeprefix("--").partition("=")[::2] for option in command[2:])
    assert set(options) <= set(LabApp.aliases) | set(LabApp.flags)
    assert (ROOT / options.get("notebook-dir", ".")).is_dir()


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


_TEXT, _AMOUNT = {"type": "string"}, {"type": ["number", "string"], "pattern": r"^\d+(\.\d+)?[KMGT]$"}
_OVERRIDES = {  # traits of KubeSpawner, with their types
    "cpu_limit": {"type": "number"},
    "mem_guarantee": _AMOUNT,
    "mem_limit": _AMOUNT,
    "extra_resource_limits": {"type": "object", "additionalProperties": _TEXT},
    "extra_pod_config": {
        "type": "object",
        "properties": {"runtimeClassName": {"const": "nvidia"}},
        "additionalProperties": False,
    },
}
_PROFILE = {
    "type": "object",
    "properties": {
        "display_name": _TEXT,
        "description": _TEXT,
        "default": {"type": "boolean"},
        "kubespawner_override": {
            "type": "object",
            "properties": _OVERRIDES,
            "additionalProperties": False,
            "required": ["cpu_limit", "mem_limit"],
            "dependentRequired": {
                "extra_resource_limits": ["extra_pod_config"],
                "extra_pod_config": ["extra_resource_limits"],
            },
        },
    },
    "additionalProperties": False,
    "required": ["display_name", "description", "kubespawner_override"],
}
_IMAGE = {
    "type": "object",
    "properties": {
        "name": _TEXT,
        "tag": {"type": "string", "not": {"const": "latest"}},
        "pullPolicy": {"enum": ["IfNotPresent", "Always", "Never"]},
    },
    "additionalProperties": False,
    "required": ["name", "tag"],
}


def test_servers_and_image_of_the_hub_fit_their_schema():
    """Every server is one that KubeSpawner can start; those with GPUs, and they alone, run under nvidia."""
    user = yaml.safe_load((BINDER / "jupyterhub" / "values.yaml").read_text())["singleuser"]
    jsonschema.validate(user["image"], _IMAGE)
    jsonschema.validate(user["profileList"], {"type": "array", "items": _PROFILE, "minItems": 3})
    assert [profile.get("default", False) for profile in user["profileList"]] == [True, False, False]
    assert not {profile["display_name"] for profile in user["profileList"]} & {""}


@pytest.fixture
def cluster(tmp_path):
    """A cluster of shell scripts: ssh runs the command here, srun too, JupyterLab only says where it is."""
    scripts = {
        "ssh": 'echo "ssh $*" >> "$LOG"; if [ "$1" = -N ]; then exec sleep 60; fi; shift 2; eval "$1"',
        "srun": 'echo "srun $*" >> "$LOG"; while [ "$1" != bash ]; do shift; done; exec bash -c "$3"',
        "hostname": "echo nid001234",
        "jupyter": 'echo "jupyter $*" >> "$LOG"; for o; do case $o in --port=*) p=${o#*=};; esac; done; '
        'printf "http://127.0.0.1:%s/lab?token=abc\\r\\n" "$p"; sleep 0.5',
    }
    for name, text in scripts.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    log = tmp_path / "log"
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LOG": str(log)}

    def start(*arguments, **variables):
        command = [shutil.which("bash"), str(BINDER / "tunnel"), *arguments]
        done = subprocess.run(
            command, env=environment | variables, capture_output=True, text=True, timeout=30, check=False
        )
        return done, log.read_text().splitlines() if log.exists() else []

    return start


def test_a_notebook_on_a_node_of_a_cluster(cluster):
    done, log = cluster(
        "me@login.example.org", "--gpus=1", "--comment=two words", START="export A=1", PORT="9999"
    )
    assert done.returncode == 0, done.stderr
    port = re.search(r"--port=(\d+)", "\n".join(log))[1]
    srun = next(line for line in log if line.startswith("srun"))
    assert "--gpus=1 --comment=two words bash -lc export A=1 && " in srun
    assert any(line.startswith("jupyter lab --no-browser --ip=127.0.0.1") for line in log)
    tunnel = next(line for line in log if line.startswith("ssh -N"))
    assert tunnel.endswith(f"-J me@login.example.org -L 127.0.0.1:9999:127.0.0.1:{port} me@nid001234")
    assert "http://127.0.0.1:9999/lab?token=abc" in done.stdout and "nid001234" in done.stdout


def test_a_tunnel_needs_a_login_node(cluster):
    done, log = cluster()
    assert done.returncode != 0 and "give the login node" in done.stderr and not log


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
