"""The classifier that a finished training left in its run directory."""

from __future__ import annotations

import os
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from omnilearn_lab.errors import CheckpointError
from omnilearn_lab.settings import from_mapping, read_settings
from omnilearn_lab.tasks.common.networks import ClassifierSettings, make_model

__all__ = ["load_trained"]


def load_trained(directory: str | os.PathLike[str]) -> nn.Module:
    """Return a trained classifier with its best weights, ready to be applied.

    Parameters
    ----------
    directory
        Run directory of `omnilearn_lab.tasks.common.train_classifier`, or of one training of
        `omnilearn_lab.tasks.common.compare`, such as ``runs/finetuned-seed1``.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, on the CPU.

    Raises
    ------
    CheckpointError
        When there is no such run, or it was not a classifier's.

    Examples
    --------
    >>> load_trained("no/such/run")
    Traceback (most recent call last):
    omnilearn_lab.errors.CheckpointError: 'no/such/run' holds no trained classifier: ...
    """
    folder = Path(directory)
    for name in ("config.yaml", "best.safetensors"):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"'{directory}' holds no trained classifier: {name} is missing; name a run directory"
            )
    about = read_settings(folder / "config.yaml")
    model = make_model(from_mapping(ClassifierSettings, about))
    try:
        model.load_state_dict(load_file(folder / "best.safetensors"))
    except RuntimeError as error:
        raise CheckpointError(f"the weights in '{directory}' do not fit its settings: {error}") from error
    return model.eval()
