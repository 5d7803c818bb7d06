"""For the documentation: a class made by ``@settings`` has the constructor of the dataclass that it is."""

from __future__ import annotations

from typing import Any

import griffe


class SettingsSignatures(griffe.Extension):
    """Tell Griffe, which reads the source only, what the decorator makes."""

    def on_class_instance(self, *, cls: griffe.Class, **_: Any) -> None:
        """Take ``@settings`` for ``@dataclasses.dataclass``."""
        for decorator in cls.decorators:
            if str(decorator.value) == "settings":
                decorator.value = griffe.ExprName("dataclasses.dataclass")
