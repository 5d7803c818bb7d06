"""Records of a training for TensorBoard, beside the run's own metrics."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from omnilearn_lab.errors import MissingDependencyError

__all__ = ["TensorBoardLog"]

_NOT_TERMS = frozenset({"kind", "step", "epoch", "jets", "seconds"})


class TensorBoardLog:
    """Write the loss terms of each record, one curve per term and kind: ``loss/validation``, ...

    Parameters
    ----------
    directory
        Shown by ``tensorboard --logdir``.
    step
        Curves of an earlier part of this training are dropped after this step.

    Raises
    ------
    MissingDependencyError
        When TensorBoard is not installed.
    """

    def __init__(self, directory: str | os.PathLike[str], step: int = 0) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingDependencyError(
                f"tensorboard=True needs TensorBoard ({error}); pip install 'omnilearn_lab[tensorboard]', "
                "or leave it out: the same records are in metrics.jsonl"
            ) from error
        self._writer = SummaryWriter(os.fspath(directory), purge_step=step + 1 if step else None)

    def add(self, record: Mapping[str, Any]) -> None:
        """Write the terms of a record of `omnilearn_lab.training.History`."""
        for name in sorted(record.keys() - _NOT_TERMS):
            self._writer.add_scalar(f"{name}/{record['kind']}", record[name], record["step"])
        self._writer.flush()

    def close(self) -> None:
        """Write what is left and close the file."""
        self._writer.close()
