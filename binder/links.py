"""Print the links that open this repository elsewhere: Binder, and a JupyterHub through nbgitpuller.

Run it in a clone, where the address of the remote is known, or name the address::

    python binder/links.py
    python binder/links.py https://github.com/OWNER/omnilearn_lab --hub https://hub.example.org
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path
from urllib.parse import quote, urlsplit

FIRST = "notebooks/00_start_here.ipynb"
BADGE = "https://mybinder.org/badge_logo.svg"


def binder_link(repository: str, *, branch: str = "main", notebook: str = FIRST) -> str:
    """Return the link that builds the repository on mybinder.org and opens a notebook in JupyterLab.

    >>> binder_link("https://github.com/a/b")
    'https://mybinder.org/v2/gh/a/b/main?urlpath=lab%2Ftree%2Fnotebooks%2F00_start_here.ipynb'
    """
    owner_and_name = urlsplit(_https(repository)).path.strip("/")
    page = quote(f"lab/tree/{notebook}", safe="")
    return f"https://mybinder.org/v2/gh/{owner_and_name}/{branch}?urlpath={page}"


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
    asked = parser.parse_args()
    repository = asked.repository or _remote()
    print(f"Binder        {binder_link(repository)}")
    print(f"Binder badge  [![Binder]({BADGE})]({binder_link(repository)})")
    print(f"JupyterHub    {nbgitpuller_link(repository, asked.hub)}")
