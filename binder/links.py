"""Print the links that open this repository elsewhere: Colab, Kaggle, Binder, a JupyterHub by nbgitpuller.

Run it in a clone, where the address of the remote is known, or name the address::

    python binder/links.py
    python binder/links.py https://github.com/OWNER/omnilearn_lab --hub https://hub.example.org

``--setup-cells notebooks`` puts the cell into the notebooks that Colab and Kaggle need.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path
from urllib.parse import quote, urlsplit

FIRST = "notebooks/00_start_here.ipynb"
BADGES = {
    "Colab": "https://colab.research.google.com/assets/colab-badge.svg",
    "Kaggle": "https://kaggle.com/static/images/open-in-kaggle.svg",
    "Binder": "https://mybinder.org/badge_logo.svg",
}
SETUP = "set-up"
BINARY = "pythia8mc,fastjet,torch,wasserstein"
_CELL = """\
# Only where the package is missing, as on Colab and Kaggle; elsewhere this cell does nothing.
import importlib.util, sys
if importlib.util.find_spec("omnilearn_lab") is None:
    print("Installing omnilearn_lab and what it needs: a few minutes, once per session ...")
    before = getattr(sys.modules.get("numpy"), "__version__", None)
    %pip install --quiet --only-binary {binary} --extra-index-url {torch} git+{address}@{branch}
    import importlib.metadata
    is_stale = before not in (None, importlib.metadata.version("numpy"))
    print("Now restart the session and run all cells." if is_stale else "Installed; go on below.")"""


def binder_link(repository: str, *, branch: str = "main", notebook: str = FIRST) -> str:
    """Return the link that builds the repository on mybinder.org and opens a notebook in JupyterLab.

    >>> binder_link("https://github.com/a/b")
    'https://mybinder.org/v2/gh/a/b/main?urlpath=lab%2Ftree%2Fnotebooks%2F00_start_here.ipynb'
    """
    owner_and_name = urlsplit(_https(repository)).path.strip("/")
    page = quote(f"lab/tree/{notebook}", safe="")
    return f"https://mybinder.org/v2/gh/{owner_and_name}/{branch}?urlpath={page}"


def colab_link(repository: str, *, branch: str = "main", notebook: str = FIRST) -> str:
    """Return the link that opens a notebook of a GitHub repository in Colab.

    >>> colab_link("https://github.com/a/b")
    'https://colab.research.google.com/github/a/b/blob/main/notebooks/00_start_here.ipynb'
    """
    owner_and_name = urlsplit(_https(repository)).path.strip("/")
    return f"https://colab.research.google.com/github/{owner_and_name}/blob/{branch}/{notebook}"


def kaggle_link(repository: str, *, branch: str = "main", notebook: str = FIRST) -> str:
    """Return the link that opens a notebook of a GitHub repository in Kaggle.

    >>> kaggle_link("https://github.com/a/b")[:59]
    'https://kaggle.com/kernels/welcome?src=https://github.com/a'
    """
    return f"https://kaggle.com/kernels/welcome?src={_https(repository)}/blob/{branch}/{notebook}"


def setup_cell(repository: str, *, branch: str = "main") -> str:
    """Return the source of the cell that installs the package where a notebook is opened without it."""
    index = (Path(__file__).parent / "torch.txt").read_text().split("--index-url ")[1].split()[0]
    return _CELL.format(binary=BINARY, address=_https(repository), branch=branch, torch=index)


def write_setup_cells(folder: Path, source: str) -> list[Path]:
    """Put the set-up cell before all cells of every notebook in a folder, in the place of an earlier one."""
    paths = sorted(folder.glob("*.ipynb"))
    for path in paths:
        content = json.loads(path.read_text(encoding="utf-8"))
        cells = [cell for cell in content["cells"] if SETUP not in cell["metadata"].get("tags", ())]
        cell = {"cell_type": "code", "execution_count": None, "id": SETUP, "metadata": {"tags": [SETUP]}}
        content["cells"] = [cell | {"outputs": [], "source": source.splitlines(keepends=True)}, *cells]
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return paths


def nbgitpuller_link(repository: str, hub: str, *, branch: str = "main", notebook: str = FIRST) -> str:
    """Return the link that copies the repository into a user's home on a hub and opens a notebook.

    >>> nbgitpuller_link("https://github.com/a/b", "https://hub.org").split("?")[0]
    'https://hub.org/hub/user-redirect/git-pull'
    """
    address = _https(repository)
    folder = urlsplit(address).path.rstrip("/").split("/")[-1]
    page = quote(f"lab/tree/{folder}/{notebook}", safe="")
    query = f"repo={quote(address, safe='')}&branch={branch}&urlpath={page}"
    return f"{hub.rstrip('/')}/hub/user-redirect/git-pull?{query}"


def _https(repository: str) -> str:
    """Return a repository's address as people open it in a browser."""
    address = repository.strip().removesuffix(".git")
    if address.startswith("git@"):
        address = "https://" + address.removeprefix("git@").replace(":", "/", 1)
    if urlsplit(address).scheme != "https":
        raise SystemExit(f"'{repository}' is not an https address of a repository")
    return address


def _remote() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "remote", "get-url", "origin"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        raise SystemExit("this clone has no remote 'origin'; name the repository's address")
    return found.stdout.strip()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repository", nargs="?", help="https address; the remote 'origin' by default")
    parser.add_argument("--hub", default="https://hub.example.org", help="address of your JupyterHub")
    parser.add_argument(
        "--setup-cells", type=Path, metavar="FOLDER", help="write the set-up cell into its notebooks"
    )
    asked = parser.parse_args()
    repository = asked.repository or _remote()
    links = {
        "Colab": colab_link(repository),
        "Kaggle": kaggle_link(repository),
        "Binder": binder_link(repository),
    }
    for name, link in links.items():
        print(f"{name:<14}{link}\n{name + ' badge':<14}[![{name}]({BADGES[name]})]({link})")
    print(f"{'JupyterHub':<14}{nbgitpuller_link(repository, asked.hub)}")
    if asked.setup_cells:
        made = write_setup_cells(asked.setup_cells, setup_cell(repository))
        print(f"{len(made)} notebooks in {asked.setup_cells} begin with the set-up cell")
