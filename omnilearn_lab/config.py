"""From mappings (YAML, JSON, keyword arguments) to frozen dataclasses, in one place."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from omnilearn_lab.errors import ConfigError, nearest

__all__ = ["flatten", "from_mapping", "read_settings", "to_mapping"]

T = TypeVar("T")

_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    tuple: "a list",
    type(None): "nothing",
}


def from_mapping(cls: type[T], values: Mapping[str, Any]) -> T:
    """Build a dataclass from a mapping; unknown keys are errors.

    Nested dataclasses are built from nested mappings, and lists become tuples
    where the field is a tuple. Numbers may be written as text (YAML takes 5e-4 for
    text), whole ones with a decimal point.

    Parameters
    ----------
    cls
        A dataclass type.
    values
        Field names and values.

    Returns
    -------
    instance of ``cls``

    Raises
    ------
    ConfigError
        For a key that is not a field (the message names the nearest one), a value of
        another type, or a field without default that is missing.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Sample:
    ...     n_jets: int = 100
    >>> from_mapping(Sample, {"n_jets": 5})
    Sample(n_jets=5)
    >>> from_mapping(Sample, {"njets": 5})
    Traceback (most recent call last):
    omnilearn_lab.errors.ConfigError: Sample has no setting 'njets'; known: n_jets; did you mean 'n_jets'?
    """
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            raise ConfigError(f"{cls.__name__} has no setting '{key}'; {nearest(key, fields)}")
    hints = typing.get_type_hints(cls)
    converted = {key: _convert(hints[key], value, f"{cls.__name__}.{key}") for key, value in values.items()}
    try:
        return cls(**converted)
    except TypeError as error:
        raise ConfigError(f"{cls.__name__}: {error}") from error


def to_mapping(config: Any) -> dict[str, Any]:
    """Return a dataclass as plain dictionaries and lists, ready for JSON or YAML.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Sample:
    ...     betas: tuple[float, float] = (0.95, 0.99)
    >>> to_mapping(Sample())
    {'betas': [0.95, 0.99]}
    """
    return _plain(dataclasses.asdict(config))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, with dotted keys.

    Examples
    --------
    >>> flatten({"size": "tiny", "training": {"epochs": 2}})
    {'size': 'tiny', 'training.epochs': 2}
    """
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        is_nested = isinstance(value, Mapping)
        flat |= flatten(value, f"{prefix}{key}.") if is_nested else {f"{prefix}{key}": value}
    return flat


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


def _convert(hint: Any, value: Any, name: str) -> Any:
    """Turn a plain value into what the type hint asks for, or say what it should be."""
    options = _options(hint)
    if type(value) in options:
        return value
    for option in options:
        kind = typing.get_origin(option) or option
        if dataclasses.is_dataclass(option) and isinstance(value, Mapping):
            return from_mapping(option, value)  # type: ignore[arg-type]
        if kind is tuple and isinstance(value, list | tuple):
            inner = typing.get_args(option)
            return tuple(_convert(inner[0] if inner else Any, item, name) for item in value)
        if kind in (int, float) and (number := _number(kind, value)) is not None:
            return number
        if kind not in _WORDS and not dataclasses.is_dataclass(option):
            return value
    words = [_WORDS.get(typing.get_origin(o) or o) or f"settings ({o.__name__})" for o in options]
    raise ConfigError(f"{name} is {value!r}; {' or '.join(words)} is needed")


def _number(kind: type, value: Any) -> float | int | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    if kind is float:
        return number
    return int(number) if number.is_integer() else None


def _options(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.get_args(hint)
    return (hint,)
