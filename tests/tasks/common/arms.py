"""Arms that train nothing; other processes import this module: it must stay light."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Measured:
    """A result without a history."""

    auc: float
    loss: float
    n_train: int = 100
    smaller_is_better = ("loss",)

    def values(self):
        return {"auc": self.auc, "loss": self.loss}

    def limits(self):
        return ("auc",) if self.auc > 0.91 else ()


def measure(data, shift, seed, run_directory):
    if run_directory is not None:
        run_directory.mkdir(parents=True)
    return Measured(data[seed - 1] + shift, 1 - shift)
