"""How much each notebook does in each profile, read from one small file per notebook."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.notebook import sizes
from omnilearn_lab.settings import from_mapping, read_settings

log = logging.getLogger(__name__)
_OWN_FOLDER = "OMNILEARN_LAB_PROFILES"


def notebook_profile(notebook: str, profile: str) -> Any:
    """Return a notebook's settings in a profile, from ``notebook/profiles/<notebook>.yaml``.

    The file's first line, ``settings: NAME``, says which class of `omnilearn_lab.notebook.sizes` they fill.
    A file of the same name in the folder ``OMNILEARN_LAB_PROFILES`` changes single settings: your own
    sizes, without touching the package.

    Parameters
    ----------
    notebook
        Name without ending, such as "03_finetune_top".
    profile : {"smoke", "quick", "long", "full"}

    Raises
    ------
    ConfigError
        For an unknown notebook or profile, or a setting that the class does not have.

    Examples
    --------
    >>> notebook_profile("03_finetune_top", "smoke").compare.seeds
    (1, 2)
    """
    folder = resources.files("omnilearn_lab.notebook") / "profiles"
    known = {file.name.removesuffix(".yaml"): file for file in folder.iterdir()}
    if notebook not in known:
        raise ConfigError(f"no profiles for the notebook '{notebook}'; {nearest(notebook, sorted(known))}")
    table = yaml.safe_load(known[notebook].read_text(encoding="utf-8"))
    cls = getattr(sizes, table.pop("settings"))
    if profile not in table:
        raise ConfigError(f"'{notebook}' has no profile '{profile}'; {nearest(profile, table)}")
    return from_mapping(cls, _merged(table[profile], _own_changes(notebook, profile)))


def _own_changes(notebook: str, profile: str) -> Mapping[str, Any]:
    folder = os.environ.get(_OWN_FOLDER)
    path = Path(folder or ".") / f"{notebook}.yaml"
    if folder is None or not path.is_file():
        return {}
    changes = read_settings(path).get(profile) or {}
    if not isinstance(changes, Mapping):
        raise ConfigError(
            f"'{path}', profile '{profile}': lines like 'name: value' are expected, not {changes!r}"
        )
    log.info("%s, profile %s: settings changed by '%s'", notebook, profile, path)
    return changes


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with some values changed; mappings by name are merged, everything else is replaced."""
    merged = dict(base)
    for key, value in changes.items():
        both = _is_named(merged.get(key)) and _is_named(value)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def _is_named(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
