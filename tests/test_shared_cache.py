"""Many users, one data folder: what starts at once simulates once, and what is read-only stays as it is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from omnilearn_lab.catalog.store import checksum
from omnilearn_lab.notebook.recorded import read_results

from tests.machine.faults import open_folder, run_as

ROOT = Path(__file__).parents[1]
NOTEBOOK = "00_start_here"
N_USERS = 4
SECRET = "not-for-strangers"
RUN = (sys.executable, "-m", "omnilearn_lab.cli", "run", NOTEBOOK, "--profile", "smoke")

ANNA, BERT, GROUP = 20_001, 20_002, 20_100


def start(user: Path, data: Path, prefix: tuple[str, ...] = (), command: tuple[str, ...] = RUN):
    """Start a command as one user: with results and a cache of their own, and the data folder of all."""
    folders = {"OMNILEARN_LAB_RESULTS": user / "results", "XDG_CACHE_HOME": user / "cache"}
    env = os.environ | {name: str(path) for name, path in folders.items()}
    env |= {"OMNILEARN_LAB_DATA": str(data), "OMP_NUM_THREADS": "1", "JUPYTERHUB_API_TOKEN": SECRET}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([*prefix, *command], cwd=ROOT, env=env, **pipes)


def finish(process: subprocess.Popen) -> str:
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output[-3000:]
    return output


def contents(folder: Path) -> dict[str, bytes]:
    """Every file with its content; lock files are empty and stay, for removing one in use is a race."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    files = {str(path.relative_to(folder)): path.read_bytes() for path in found}
    assert not [name for name, content in files.items() if name.endswith(".lock") and content]
    return {name: content for name, content in files.items() if not name.endswith(".lock")}


def numbers(user: Path) -> dict[str, float]:
    return read_results(user / "results" / NOTEBOOK / "smoke").numbers["mean_mass"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """One user with an empty data folder."""
    user = tmp_path_factory.mktemp("alone")
    finish(start(user, user / "data"))
    return user


@pytest.mark.slow
@pytest.mark.nb
def test_what_a_notebook_leaves_holds_no_token(alone):
    left = contents(alone)
    assert {Path(name).suffix for name in left} >= {".ipynb", ".html", ".json", ".png"}
    assert not [name for name, content in left.items() if SECRET.encode() in content]


@pytest.mark.slow
@pytest.mark.nb
def test_four_users_at_once_share_one_cache(alone, tmp_path):
    data, users = tmp_path / "data", [tmp_path / f"user{number}" for number in range(N_USERS)]
    data.mkdir()
    outputs = [finish(process) for process in [start(user, data) for user in users]]
    assert not any("damaged" in text for text in outputs)
    assert [numbers(user) for user in users] == [numbers(alone)] * N_USERS
    assert contents(data) == contents(alone / "data")
    assert not list(data.rglob("*.part"))
    (jets,) = data.rglob("*.h5")
    assert json.loads(Path(f"{jets}.json").read_text())["checksum"] == checksum(jets)


def obey_permissions() -> tuple[str, ...]:
    """Return a prefix under which even root may neither read nor write where permissions forbid it."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root without setpriv writes everywhere: a read-only data folder is NOT tested here")
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


@pytest.fixture
def shared(alone, tmp_path):
    """The same data in a folder that nobody may write."""
    folder = shutil.copytree(alone / "data", tmp_path / "shared")
    places = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for place in places:
        place.chmod(0o555)
    yield folder
    for place in places:
        place.chmod(0o755)


@pytest.mark.slow
@pytest.mark.nb
@pytest.mark.skipif(sys.platform != "linux", reason="a cache of one's own is named by XDG_CACHE_HOME")
def test_a_read_only_folder_is_read_and_new_jets_go_to_the_users_cache(alone, shared, tmp_path):
    user, before = tmp_path / "user", contents(shared)
    finish(start(user, shared, obey_permissions()))
    own = user / "cache" / "omnilearn_lab"
    assert numbers(user) == numbers(alone)
    assert contents(own) == {}  # what is there already is not made again
    simulate = "import omnilearn_lab as o; o.load('top_tagging', 'val', source='simulated', max_jets=4)"
    finish(start(user, shared, obey_permissions(), (sys.executable, "-c", simulate)))
    assert [path.name.partition("-")[0] for path in own.rglob("*.h5")] == ["val"]
    assert contents(shared) == before


LOAD = """
import logging, sys
from omnilearn_lab.catalog import LoadOptions, load
logging.basicConfig(stream=sys.stdout, format="%(message)s")
options = LoadOptions(data_dir={folder!r}, simulation=dict(workers=1, progress=False))
jets = load("h1_dis", {split!r}, source="simulated", max_jets=4, options=options)
print(jets.jet["pt"].round(3).tolist())
"""
IMPORT_ALL = "import contextlib, io, tempfile\nwith contextlib.redirect_stdout(io.StringIO()): exec({!r})"


@pytest.fixture
def everybodys():
    with open_folder() as folder:
        yield folder


def load_as(user, folder, split="val", **options):
    code = LOAD.format(folder=str(folder), split=split)
    elsewhere = LOAD.replace("{folder!r}", "tempfile.mkdtemp()").format(split=split)
    return run_as(user, code, before=IMPORT_ALL.format(elsewhere), **options).splitlines()


@pytest.mark.slow
def test_what_an_administrator_makes_everybody_reads(everybodys):
    """Nothing is called damaged or simulated again by a user who may only read."""
    data, home = everybodys / "data", everybodys / "home"
    data.mkdir()
    home.mkdir()
    os.chown(home, ANNA, ANNA)
    made = load_as(0, data)
    assert load_as(ANNA, data, HOME=str(home)) == made
    assert not list(home.rglob("*.h5"))
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in data.rglob("*"))


@pytest.mark.slow
def test_two_users_of_a_group_fill_one_folder(everybodys):
    os.chown(everybodys, ANNA, GROUP)
    everybodys.chmod(0o2775)
    first = load_as(ANNA, everybodys, group=GROUP)
    assert load_as(BERT, everybodys, group=GROUP) == first
    second = load_as(BERT, everybodys, "test", group=GROUP)
    assert load_as(ANNA, everybodys, "test", group=GROUP) == second != first
    assert {path.stat().st_gid for path in everybodys.rglob("*")} == {GROUP}


@pytest.mark.slow
def test_a_user_without_home_and_name_works_where_the_folder_is_named(everybodys):
    os.chown(everybodys, ANNA, ANNA)
    made = load_as(ANNA, everybodys)  # no variable HOME, and no entry among the users
    everybodys.chmod(0o555)
    assert load_as(BERT, everybodys) == made  # nor a place for a cache of their own
    code = (
        "import omnilearn_lab.catalog as c\ntry: c.open_store()\nexcept c.store.DataFileError as e: print(e)"
    )
    assert "give another folder with data_dir=" in run_as(BERT, code)
