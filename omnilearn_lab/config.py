"""From mappings (YAML, JSON, keyword arguments) to frozen dataclasses, in one place."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from omnilearn_lab.errors import ConfigError, nearest

__all__ = ["from_mapping", "to_mapping"]

T = TypeVar("T")


def from_mapping(cls: type[T], values: Mapping[str, Any]) -> T:
    """Build a dataclass from a mapping; unknown keys are errors.

    Nested dataclasses are built from nested mappings, and lists become tuples
    where the field is a tuple.

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
        For a key that is not a field (the message names the nearest one), or a
        field without default that is missing.

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
    converted = {key: _convert(hints[key], value) for key, value in values.items()}
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


def _convert(hint: Any, value: Any) -> Any:
    """Turn a plain value into what the type hint asks for, where that is unambiguous."""
    for option in _options(hint):
        if dataclasses.is_dataclass(option) and isinstance(value, Mapping):
            return from_mapping(option, value)  # type: ignore[arg-type]
        if typing.get_origin(option) is tuple and isinstance(value, list):
            inner = typing.get_args(option)
            return tuple(_convert(inner[0] if inner else Any, item) for item in value)
        if option is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
    return value


def _options(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.get_args(hint)
    return (hint,)
