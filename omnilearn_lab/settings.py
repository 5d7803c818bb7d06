"""Settings: frozen dataclasses that check themselves, and the way from YAML or JSON to them and back."""

from __future__ import annotations

import dataclasses
import functools
import operator
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import pydantic
import pydantic.dataclasses
import yaml
from pydantic_core import PydanticCustomError

from omnilearn_lab.errors import ConfigError, OmniLearnLabError, is_file, nearest, translated

T = TypeVar("T")

_WORDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "string": "text",
    "tuple": "a list",
    "list": "a list",
    "dict": "a mapping",
    "mapping": "a mapping",
}
_LARGEST_YAML, _MOST_VALUES = 20_000_000, 1_000_000
_RULES = ("greater_than", "less_than", "finite", "too_short", "too_long", "multiple_of")


@typing.dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def settings(cls: type[T]) -> type[T]:
    """Make a frozen dataclass whose values are checked by pydantic when it is built.

    Ranges stand in the annotations, as ``Annotated[int, Field(gt=0)]``. Rules that tie several fields
    together stay in ``__post_init__``. Numbers may be written as text (YAML takes 5e-4 for text) and whole
    ones with a decimal point; lists become tuples, and mappings become nested settings.

    Parameters
    ----------
    cls
        A class with annotated fields.

    Returns
    -------
    type
        Building it raises `ConfigError` with the class, the field, the value, and what is accepted.

    Examples
    --------
    >>> from typing import Annotated
    >>> from pydantic import Field
    >>> @settings
    ... class Sample:
    ...     n_jets: Annotated[int, Field(gt=0)] = 100
    >>> Sample(5)
    Sample(n_jets=5)
    >>> Sample(n_jets=0)
    Traceback (most recent call last):
    omnilearn_lab.errors.ConfigError: Sample.n_jets is 0; it must be greater than 0
    >>> Sample(njets=5)
    Traceback (most recent call last):
    omnilearn_lab.errors.ConfigError: Sample has no setting 'njets'; known: n_jets; did you mean 'n_jets'?
    """
    caller = sys._getframe(1)  # classes of a function or of a notebook's cell may name each other
    hints = typing.get_type_hints(
        cls, {**vars(sys.modules[cls.__module__]), **caller.f_globals}, caller.f_locals, True
    )
    cls.__annotations__ = {name: _careful(hints[name]) for name in cls.__dict__.get("__annotations__", {})}
    options = pydantic.ConfigDict(extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)
    made = pydantic.dataclasses.dataclass(cls, frozen=True, config=options)
    build = made.__init__

    @functools.wraps(build)
    def checked(self: Any, *values: Any, **named: Any) -> None:
        try:
            build(self, *values, **named)
        except pydantic.ValidationError as error:
            raise _explain(made, error) from None

    made.__init__ = checked
    return made


def from_mapping(cls: type[T], values: Mapping[str, Any]) -> T:
    """Build settings from a mapping; unknown keys are errors.

    Parameters
    ----------
    cls
        A class made by `settings`.
    values
        Field names and values.

    Returns
    -------
    instance of ``cls``

    Raises
    ------
    ConfigError
        For a key that is not a field (the message names the nearest one), a value of
        another type or outside its range, or a field without default that is missing.

    Examples
    --------
    >>> @settings
    ... class Sample:
    ...     n_jets: int = 100
    >>> from_mapping(Sample, {"n_jets": "5"})
    Sample(n_jets=5)
    """
    odd = [key for key in values if not isinstance(key, str)]
    if odd:
        raise ConfigError(f"{cls.__name__} has no setting {odd[0]!r}; names are text")
    return cls(**values)


def to_mapping(config: Any) -> dict[str, Any]:
    """Return a dataclass as plain dictionaries and lists, ready for JSON or YAML.

    Examples
    --------
    >>> @settings
    ... class Sample:
    ...     betas: tuple[float, float] = (0.95, 0.99)
    >>> to_mapping(Sample())
    {'betas': [0.95, 0.99]}
    """
    return _plain(dataclasses.asdict(config))


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, with dotted keys.

    Examples
    --------
    >>> flatten({"size": "tiny", "training": {"epochs": 2}})
    {'size': 'tiny', 'training.epochs': 2}
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
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
    values = load_yaml(path) or {}
    if not isinstance(values, dict):
        raise ConfigError(f"'{path}' holds a {type(values).__name__}; lines like 'name: value' are expected")
    return values


def load_yaml(path: Path) -> Any:
    """Return what a YAML file holds: plain values alone, no key twice, and no more than can be meant.

    Raises
    ------
    ConfigError
        When the file is missing, is no YAML, or stands for more than a million values.
    """
    if not is_file(path):
        raise ConfigError(f"'{path}' is not a readable YAML file: there is no such file; check the path")
    with translated(ConfigError, f"'{path}' is not a readable YAML file", "correct it, or give another one"):
        if path.stat().st_size > _LARGEST_YAML:
            raise ConfigError(f"'{path}' has more than {_LARGEST_YAML} bytes; settings are small files")
        loader = _Loader(path.read_text(encoding="utf-8"))
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            if _n_values(node, {}) > _MOST_VALUES:
                raise ConfigError(f"'{path}' holds more than {_MOST_VALUES} values; use fewer references")
            return loader.construct_document(node)
        finally:
            loader.dispose()


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # the C parser where there is one
    """Safe YAML that refuses a key given twice."""


def _unique_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    own = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]  # what is given with <<
    keys = [loader.construct_object(key, deep=True) for key in own]
    for number, key in enumerate(keys):
        if key in keys[:number]:
            raise yaml.constructor.ConstructorError(None, None, f"key given twice: {key!r}", node.start_mark)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _unique_mapping)


def _n_values(node: yaml.Node, counts: dict[int, int]) -> int:
    """How many values a node stands for, with those that it refers to counted every time."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in counts:
        counts[id(node)] = _MOST_VALUES + 1  # for a node that refers to itself
        inner = (part for item in node.value for part in (item if isinstance(item, tuple) else (item,)))
        counts[id(node)] = 1 + sum(_n_values(part, counts) for part in inner)
    return counts[id(node)]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _careful(hint: Any) -> Any:
    """The same type, where true is no number, a number is no truth, and numpy's numbers are numbers."""
    if hint is bool:
        return Annotated[bool, pydantic.Strict()]
    if hint in (int, float):
        return Annotated[hint, pydantic.BeforeValidator(_number)]
    if typing.get_origin(hint) is typing.Annotated:
        inner = _careful(hint.__origin__)
        kind, checks = getattr(inner, "__origin__", inner), getattr(inner, "__metadata__", ())
        return (
            Annotated[(kind, *hint.__metadata__, *checks)]
            if checks
            else Annotated[(inner, *hint.__metadata__)]
        )
    arguments = typing.get_args(hint)
    if not arguments or typing.get_origin(hint) in (typing.Literal, Callable, typing.ClassVar):
        return hint
    origin = typing.get_origin(hint)
    inner = tuple(argument if argument is ... else _careful(argument) for argument in arguments)
    return typing.Union[inner] if origin in (typing.Union, types.UnionType) else origin[inner]  # noqa: UP007


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "a whole number")
    is_index = hasattr(value, "__index__") and not isinstance(value, int)
    return operator.index(value) if is_index else value


def _explain(cls: type, error: pydantic.ValidationError) -> OmniLearnLabError:
    """The first thing that is wrong, in our words."""
    faults = error.errors(include_url=False)
    unknown = (fault for fault in faults if fault["type"] == "unexpected_keyword_argument")
    first = next(unknown, faults[0])  # a misspelt name explains the one that is missing
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, OmniLearnLabError):
        return cause
    place = first["loc"]
    if first["type"] == "unexpected_keyword_argument":
        owner = _inner(*_owner(cls, place[:-1]))
        key = str(place[-1])
        return ConfigError(f"{owner.__name__} has no setting '{key}'; {nearest(key, _fields(owner))}")
    owner, field = _owner(cls, place)
    if first["type"] in ("missing", "missing_argument"):
        lacks = "has too few values" if isinstance(place[-1], int) else "is missing; it has no default"
        return ConfigError(f"{owner.__name__}.{field} {lacks}")
    if not field or first["type"] == "unexpected_positional_argument":
        return ConfigError(f"{owner.__name__} takes at most these settings: {', '.join(_fields(owner))}")
    return ConfigError(f"{owner.__name__}.{field} is {first['input']!r}; {_wanted(first, owner, field)}")


def _fields(cls: type) -> list[str]:
    return [field.name for field in dataclasses.fields(cls) if field.init]


def _owner(cls: type, place: tuple[int | str, ...]) -> tuple[type, str]:
    """The settings class that a path of names and positions ends in, and the last field of it."""
    field = ""
    for part in place:
        if not field and isinstance(part, int) and part < len(_fields(cls)):
            part = _fields(cls)[part]
        inner = _inner(cls, field)
        if part in _fields(inner):
            cls, field = inner, str(part)
    return cls, field


def _inner(cls: type, field: str) -> type:
    """The settings class that a field holds; ``cls`` itself where it holds none."""
    return (_settings_in(typing.get_type_hints(cls)[field]) if field else None) or cls


def _settings_in(hint: Any) -> type | None:
    if dataclasses.is_dataclass(hint):
        return hint  # type: ignore[return-value]
    inner = (_settings_in(argument) for argument in typing.get_args(hint))
    return next((cls for cls in inner if cls is not None), None)


def _wanted(first: Any, owner: type, field: str) -> str:
    kind, context = first["type"], first.get("ctx", {})
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        return nearest(str(first["input"]), choices) if choices else f"{context['expected']} is needed"
    if kind.startswith("dataclass"):
        return f"settings ({_inner(owner, field).__name__}) is needed"
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if kind.startswith(_RULES):
        return f"it must be {message}"
    word = next((text for name, text in _WORDS.items() if kind.startswith(name)), message)
    return f"{word} is needed"
