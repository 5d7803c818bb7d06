"""Settings files of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from omnilearn_lab.errors import ConfigError

__all__ = ["read_settings"]


def read_settings(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds.

    Raises
    ------
    ConfigError
        When the file is missing, is no YAML, or holds something else than settings.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"'{path}' is not a readable YAML file: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"'{path}' holds a {type(values).__name__}; lines like 'name: value' are expected")
    return values
