"""``torch.compile`` for the parts of a network whose shape hardly changes from batch to batch."""

from __future__ import annotations

import inspect

import torch
from torch import nn

from omnilearn_lab.errors import TrainingError

__all__ = ["compile_layers"]


def compile_layers(model: nn.Module) -> list[str]:
    """Translate the dense parts of a model in place; parameters and their names stay as they are.

    Jets are packed in blocks whose number and length differ from batch to batch, which a translator would
    have to follow anew each time. So only modules that map rows to rows are translated (the MLPs, where
    most products are), for any number of rows.

    Parameters
    ----------
    model

    Returns
    -------
    list of str
        Names of the translated modules.

    Raises
    ------
    TrainingError
        When nothing can be translated on this machine; the usual reason is a missing C++ compiler.
    """
    try:
        torch.compile(lambda x: x * 2 + 1)(torch.zeros(4, device=next(model.parameters()).device))
    except Exception as error:
        raise TrainingError(
            f"compile=True does not work on this machine ({str(error).splitlines()[0]}); install a C++ "
            "compiler (g++), or set compile=False"
        ) from error
    names = [name for name, module in model.named_modules() if _maps_rows(module)]
    for name in names:
        model.get_submodule(name).compile(dynamic=True)
    return names


def _maps_rows(module: nn.Module) -> bool:
    has_layers = any(isinstance(child, nn.Linear) for child in module.children())
    return has_layers and list(inspect.signature(module.forward).parameters) == ["rows"]
