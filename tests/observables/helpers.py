"""One observable of jets, with its choices as keyword arguments."""

from __future__ import annotations

from omnilearn_lab.observables import ObservableConfig, observables


def value(jets, name, **choices):
    return observables(jets, [name], config=ObservableConfig(**choices))[name]
