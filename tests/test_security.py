"""What a stranger's file or text could do, and what a result could tell a stranger: nothing.

That catalogue addresses are https is tested in `catalog/test_entries.py`, that archives stay in their folder
in `catalog/test_fetch.py`, that damaged or foreign weights are refused in `models/`.
"""

from __future__ import annotations

import ast
import os
import platform
import socket
from pathlib import Path

import omnilearn_lab
import pytest
from omnilearn_lab.catalog import catalog, files
from omnilearn_lab.notebook import Results
from omnilearn_lab.training import Run, describe_environment

PACKAGE = Path(omnilearn_lab.__file__).parent
PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "tables"}
RUNS_TEXT = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "pty.spawn"}
RUNS_TEXT |= {"subprocess.getoutput", "subprocess.getstatusoutput", "asyncio.create_subprocess_shell"}
LOADS_OBJECTS = {"yaml.unsafe_load", "yaml.full_load", "pandas.read_pickle", "pd.read_pickle"}
LOADS_OBJECTS |= {"pandas.read_hdf", "pd.read_hdf"}  # by way of PyTables, which unpickles attributes
BETWEEN_RANKS = ("_object", "_object_list")  # torch.distributed pickles what these send
PLAIN_YAML = {"yaml.BaseLoader", "yaml.SafeLoader", "_loader()"}


def dangers(source: str) -> list[str]:
    """Return the lines of a program that unpickle, run text as code, or give text to a shell."""
    found = []
    for node in ast.walk(ast.parse(source)):
        modules = {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
        modules |= {node.module or ""} if isinstance(node, ast.ImportFrom) else set()
        is_bad = bool({name.partition(".")[0] for name in modules} & PICKLES)
        if is_bad or (isinstance(node, ast.Call) and is_dangerous(node)):
            found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


def is_dangerous(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    return (
        name in RUNS_TEXT | LOADS_OBJECTS
        or (name.startswith(("dist.", "distributed.", "torch.distributed.")) and name.endswith(BETWEEN_RANKS))
        or options.get("shell", "False") != "False"
        or options.get("allow_pickle", "False") != "False"
        or (name == "torch.load" and options.get("weights_only") != "True")
        or (name == "yaml.load" and options.get("Loader") not in PLAIN_YAML)
    )


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "import tables",
        "pd.read_hdf(path)",
        "dist.broadcast_object_list([text])",
        "torch.distributed.all_gather_object([], text)",
        "eval(text)",
        "os.system(text)",
        "subprocess.run(text, shell=True)",
        "np.load(path, allow_pickle=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.load(text)",
    ],
)
def test_a_danger_is_seen(line):
    assert dangers(f"def f(text, path):\n    {line}") == [f"2: {line}"]


def test_known_ways_are_let_through():
    assert not dangers("subprocess.run([name], check=True); torch.load(p, weights_only=True); re.compile(p)")


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_is_unpickled_evaluated_or_given_to_a_shell(path):
    assert not dangers(path.read_text())


def writes_hdf5(source: str) -> list[str]:
    """Return the lines of a program that open an HDF5 file for writing."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    opened = (call for call in calls if ast.unparse(call.func).endswith("h5py.File"))
    return [f"{call.lineno}: {ast.unparse(call)}" for call in opened if not is_reading(call)]


def is_reading(call: ast.Call) -> bool:
    mode = [*call.args[1:2], *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    return not mode or ast.unparse(mode[0]) == "'r'"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_hdf5_is_written_by_the_one_writer_that_survives_a_full_disk(path):
    assert writes_hdf5("h5py.File(p, 'w')") and not writes_hdf5("h5py.File(p, 'r'); h5py.File(p)")
    assert path == PACKAGE / "machine" / "files.py" or not writes_hdf5(path.read_text())


def reads_attributes(source: str) -> list[str]:
    """Return the lines of a program that read attributes of HDF5 objects as h5py does."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        is_read = isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load)
        parts = [node.value] if is_read else []
        if isinstance(node, ast.Call):
            parts = list(node.args)
            if isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "items", "values"):
                parts.append(node.func.value)
        if any(isinstance(part, ast.Attribute) and part.attr == "attrs" for part in parts):
            lines.append(f"{node.lineno}: {ast.unparse(node)}")
    return lines


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_attributes_of_hdf5_are_read_where_damaged_text_is_seen(path):
    for read in ("f.attrs['a']", "f.attrs.get('a')", "f['x'].attrs.items()", "dict(f.attrs)"):
        assert reads_attributes(read)
    assert not reads_attributes("f.attrs['a'] = 1; 'a' in f.attrs; f.attrs.update(b)")
    assert path == PACKAGE / "machine" / "files.py" or not reads_attributes(path.read_text())


def test_every_address_of_the_catalogue_is_https():
    addresses = [file.url for item in catalog().entries.values() for file in files(item) if file.url]
    assert len(addresses) > 100
    assert all(address.startswith("https://") for address in addresses)


@pytest.fixture
def secrets(monkeypatch, tmp_path_factory):
    """Call everything a file must not tell ``canary``: variables, the machine, the user, their home."""
    for name in ("SOME_API_TOKEN", "JUPYTERHUB_API_TOKEN", "USER", "LOGNAME"):
        monkeypatch.setenv(name, f"canary-{name}")
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("canary-home")))
    monkeypatch.setattr(socket, "gethostname", lambda: "canary-host")
    monkeypatch.setattr(platform, "node", lambda: "canary-host")


def told(folder: Path) -> list[str]:
    """Return the files of a folder that tell one of the secrets."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path.name for path in files if b"canary" in path.read_bytes()]


@pytest.mark.usefixtures("secrets")
def test_a_run_directory_tells_no_secret(tmp_path):
    Run(tmp_path, {"epochs": 1})
    assert told(tmp_path) == []
    assert set(describe_environment()) == {"device", "git", "platform", "python", "threads", "versions"}


@pytest.mark.usefixtures("secrets")
def test_results_tell_no_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("OMNILEARN_LAB_RESULTS", str(tmp_path))
    Results("00_start_here", "smoke").write(source="simulated", seeds=[1])
    assert told(tmp_path) == []


@pytest.mark.usefixtures("secrets")
def test_a_told_secret_is_seen(tmp_path):
    (tmp_path / "variables").write_text(str(dict(os.environ)))
    (tmp_path / "place").write_text(str(Path.home()))
    (tmp_path / "sum").write_text("1 + 1")
    assert sorted(told(tmp_path)) == ["place", "variables"]
