"""What each process does in test_full_device.py: a training whose second process has too little memory.

torchrun --standalone --nproc-per-node 2 -m tests.training.full_device FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from omnilearn_lab.training import Classification, Run, TrainConfig, Trainer, process_group

from tests.training.helpers import packed, small_model

CONFIG = TrainConfig(epochs=1, batch_size=16, learning_rate=1e-3, warmup_epochs=0.5)


class Full(Classification):
    """Room for 40 jets in validation, and for two in training after the first two parts."""

    n_parts = 0

    def __call__(self, model, batch, whole=None):
        self.n_parts += model.training
        if len(batch) > (40 if not model.training else 2 if self.n_parts > 2 else 4):
            raise torch.OutOfMemoryError("tried to allocate 20 GiB. There is more to say.")
        return super().__call__(model, batch, whole)


def make_trainer(objective: Classification, run: Run | None = None) -> Trainer:
    return Trainer(small_model(), objective, packed(), packed(72, seed=9), CONFIG, run)


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with process_group() as shard:
        run = Run(folder, vars(CONFIG), is_writer=shard.is_main)
        make_trainer(Classification() if shard.is_main else Full(), run).fit()
        (folder / f"done-{shard.rank}.json").write_text(json.dumps(shard.n_ranks))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
