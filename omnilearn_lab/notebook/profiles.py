"""How much each notebook does in each profile, read from one small file per notebook."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import field
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml

from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.settings import from_mapping, read_settings, settings
from omnilearn_lab.tasks.common.classifiers import ClassifierComparisonSettings

__all__ = ["ClassificationProfile", "notebook_profile"]

log = logging.getLogger(__name__)
Settings = TypeVar("Settings")
_OWN_FOLDER = "OMNILEARN_LAB_PROFILES"


@settings
class ClassificationProfile:
    """Sizes and settings of a tagging notebook in one profile.

    Parameters
    ----------
    source
        "simulated" or "published".
    n_train, n_validation, n_test
        Jets of each split.
    compare : ClassifierComparisonSettings
    compare_v2 : ClassifierComparisonSettings, optional
        The same with PET v2.
    n_v2
        Jets of each split at most for PET v2; None uses all.
    curve : mapping of int to float
        Smaller training sets, and the epochs on each, for the learning curve.
    """

    source: str
    n_train: int
    n_validation: int
    n_test: int
    compare: ClassifierComparisonSettings = field(default_factory=ClassifierComparisonSettings)
    compare_v2: ClassifierComparisonSettings | None = None
    n_v2: int | None = None
    curve: Mapping[int, float] = field(default_factory=dict)


def notebook_profile(notebook: str, profile: str, settings: type[Settings]) -> Settings:
    """Return a notebook's settings in a profile, from ``notebook/profiles/<notebook>.yaml``.

    A file of the same name in the folder ``OMNILEARN_LAB_PROFILES`` changes single settings: your own
    sizes, without touching the package.

    Parameters
    ----------
    notebook
        Name without ending, such as "03_finetune_top".
    profile : {"smoke", "quick", "full"}
    settings
        The dataclass that the notebook's task reads.

    Raises
    ------
    ConfigError
        For an unknown notebook or profile, or a setting that the dataclass does not have.

    Examples
    --------
    >>> notebook_profile("03_finetune_top", "smoke", ClassificationProfile).compare.seeds
    (1, 2)
    """
    folder = resources.files("omnilearn_lab.notebook") / "profiles"
    known = {file.name.removesuffix(".yaml"): file for file in folder.iterdir()}
    if notebook not in known:
        raise ConfigError(f"no profiles for the notebook '{notebook}'; {nearest(notebook, sorted(known))}")
    table = yaml.safe_load(known[notebook].read_text(encoding="utf-8"))
    if profile not in table:
        raise ConfigError(f"'{notebook}' has no profile '{profile}'; {nearest(profile, table)}")
    return from_mapping(settings, _merged(table[profile], _own_changes(notebook, profile)))


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
