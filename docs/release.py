"""What must hold before a release: ``make release-check``.

Versions agree everywhere; the wheel is complete; every dependency states its licence, and none is copyleft
that is not known to be; notebook 03 gives in ``quick`` the numbers that are expected of it; the site builds
without a warning and without a broken link. ``--without notebook --without site`` leaves the slow ones out.
``--keep build/versions`` puts the site that ``make docs`` built there under its version, beside earlier ones.
"""

from __future__ import annotations

import argparse
import logging
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
COPYLEFT = (
    "pythia8mc",
    "wasserstein",
    "EnergyFlow",
)  # and FastJet itself, whose wheel states the licence of its bindings
_LOG = logging.getLogger("release")


def versions() -> list[str]:
    """Return where another version stands than in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {
        "CITATION.cff": r"^version: (.+)$",
        "CHANGELOG.md": r"^## ([\d.]+)",
        "omnilearn_lab/__init__.py": r'__version__ = "(.+)"',
    }
    faults = []
    for name, pattern in wanted.items():
        stated = re.search(pattern, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        if stated is None or stated[1] != project["version"]:
            faults.append(f"{name} does not say {project['version']}")
    return faults


def wheel() -> list[str]:
    """Return what a wheel lacks of the package's files in this checkout."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, str(ROOT)]
        subprocess.run(command, check=True)
        names = set(zipfile.ZipFile(next(Path(folder).glob("*.whl"))).namelist())
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "omnilearn_lab"], capture_output=True, text=True, check=True
    )
    ours = {name for name in listed.stdout.split() if (ROOT / name).is_file()}
    return [f"the wheel lacks {name}" for name in sorted(ours - names)]


def dependencies() -> Iterator[metadata.Distribution]:
    """Yield all that the package needs here, directly or not."""
    waiting, seen = ["omnilearn_lab"], set()
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in seen:
            continue
        seen.add(name)
        try:
            one = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # needed elsewhere: another system, another Python
        needs = map(Requirement, one.requires or ())
        waiting += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
        if name != "omnilearn-lab":
            yield one


def licence_of(one: metadata.Distribution) -> str:
    """Return what a distribution says of its licence, in few words; empty where it says nothing."""
    about = one.metadata
    classified = [c.split(" :: ")[-1] for c in about.get_all("Classifier", ()) if c.startswith("License ::")]
    stated = about.get("License-Expression") or ", ".join(classified) or about.get("License", "")
    return stated.strip().splitlines()[0][:60] if stated.strip() else ""


def licences() -> list[str]:
    """Print the licence of every dependency; return those that state none, or an unknown copyleft."""
    rows = sorted((one.metadata["Name"], one.version, licence_of(one)) for one in dependencies())
    for name, version, licence in rows:
        _LOG.info("  %-28s %-14s %s", name, version, licence or "none stated")
    unknown = [f"{name} states no licence" for name, _, licence in rows if not licence]
    copyleft = [(n, text) for n, _, text in rows if re.search(r"(?<!L)GPL|(?<!Lesser )General Public", text)]
    return unknown + [f"{name} is under {text}" for name, text in copyleft if name not in COPYLEFT]


def notebook() -> list[str]:
    """Return what is off in notebook 03 in profile quick."""
    command = [sys.executable, "-m", "omnilearn_lab.cli", "run", "03", "--profile", "quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    judged = [line for line in done.stdout.splitlines() if "as expected" in line]
    if done.returncode:
        return [f"notebook 03 failed: {done.stderr.strip().splitlines()[-1:]}"]
    _LOG.info("  %s", judged[0] if judged else "it ran; no numbers to expect of it are kept")
    return [line for line in judged if line.startswith("not ")]


def site() -> list[str]:
    """Return warnings of the site's build, and links that lead nowhere."""
    import links

    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        warnings = [line for line in done.stderr.splitlines() if line.startswith(("WARNING", "ERROR"))]
        return warnings or (links.broken_links(Path(folder)) if not done.returncode else [done.stderr[-500:]])


def keep(site: Path, folder: Path) -> Path:
    """Copy a built site below a folder under its version; return the page that lists all versions there."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    shutil.copytree(site, folder / version, dirs_exist_ok=True)
    names = sorted((path.parent.name for path in folder.glob("*/index.html")), key=Version, reverse=True)
    lines = "".join(f'<li><a href="{name}/index.html">omnilearn_lab {name}</a></li>' for name in names)
    page = folder / "index.html"
    page.write_text(f'<!DOCTYPE html><meta charset="utf-8"><title>omnilearn_lab</title><ul>{lines}</ul>\n')
    return page


CHECKS: tuple[Callable[[], list[str]], ...] = (versions, wheel, licences, notebook, site)


def main(arguments: list[str] | None = None) -> int:
    """Run the checks one after the other; the exit status is the number of those that fail."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = [check.__name__ for check in CHECKS]
    parser.add_argument("--without", action="append", choices=names, default=[], help="leave a check out")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the built site, check nothing")
    asked = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if asked.keep:
        _LOG.info("versions: %s", keep(ROOT / "build" / "site", asked.keep))
        return 0
    left_out = asked.without
    n_failed = 0
    for check in CHECKS:
        if check.__name__ in left_out:
            _LOG.info("%-9s left out", check.__name__)
            continue
        _LOG.info("%-9s ...", check.__name__)
        faults = check()
        n_failed += bool(faults)
        _LOG.info("%-9s %s", check.__name__, "\n  ".join(["FAILS", *faults]) if faults else "ok")
    return n_failed


if __name__ == "__main__":
    raise SystemExit(main())
