"""Many users, one data folder: what starts at once simulates once, and what is read-only stays as it is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from omnilearn_lab.catalog.checks import checksum
from omnilearn_lab.notebook.records import read_results

ROOT = Path(__file__).parents[1]
NOTEBOOK = "00_start_here"
N_USERS = 4
SECRET = "not-for-strangers"
RUN = (sys.executable, "-m", "omnilearn_lab.cli", "run", NOTEBOOK, "--profile", "smoke")

pytestmark = [pytest.mark.slow, pytest.mark.nb]


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


def test_what_a_notebook_leaves_holds_no_token(alone):
    left = contents(alone)
    assert {Path(name).suffix for name in left} >= {".ipynb", ".html", ".json", ".png"}
    assert not [name for name, content in left.items() if SECRET.encode() in content]


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
