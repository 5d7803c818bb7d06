"""Named sizes of networks, and what every size must obey."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from omnilearn_lab.errors import ConfigError, nearest


class NamedSizes:
    """Configurations with named sizes: ``SIZES`` of a subclass maps each to the fields it changes."""

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @classmethod
    def named(cls, size: str, **overrides: Any) -> Self:
        """Return the configuration of a named size.

        Raises
        ------
        ConfigError
            For an unknown size.
        """
        if size not in cls.SIZES:
            network = cls.__name__.removesuffix("Config")
            raise ConfigError(f"{network} has no size '{size}'; {nearest(size, cls.SIZES)}")
        return cls(**{**cls.SIZES[size], **overrides})


def check_heads(width: int, n_heads: int) -> None:
    """Refuse a number of heads that does not divide the width with a `ConfigError`.

    Examples
    --------
    >>> check_heads(128, 5)
    Traceback (most recent call last):
    omnilearn_lab.errors.ConfigError: width 128 is not a multiple of n_heads 5: change one
    """
    if width % n_heads:
        raise ConfigError(f"width {width} is not a multiple of n_heads {n_heads}: change one")


def check_choice(what: str, value: str, choices: Mapping[str, Any] | tuple[str, ...]) -> None:
    """Refuse a value that is not among the choices with a `ConfigError` that names the nearest.

    Examples
    --------
    >>> check_choice("class_token", "zer", ("trained", "zero"))
    Traceback (most recent call last):
    omnilearn_lab.errors.ConfigError: class_token 'zer'; known: trained, zero; did you mean 'zero'?
    """
    if value not in choices:
        raise ConfigError(f"{what} '{value}'; {nearest(value, choices)}")
