"""What two processes do in test_distributed.py: several short trainings, one after the other.

RANK=... WORLD_SIZE=2 LOCAL_RANK=... MASTER_ADDR=... MASTER_PORT=... python two_processes.py FOLDER
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import torch
from omnilearn_lab.features import pet_v2_batch
from omnilearn_lab.models import PETv2, PETv2Config
from omnilearn_lab.training import (
    Classification,
    FlowPretraining,
    JointPretraining,
    Run,
    TrainConfig,
    Trainer,
    process_group,
    this_shard,
)

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.conftest import random_jets
from tests.training.helpers import packed, small_model

CONFIG = TrainConfig(
    epochs=1, batch_size=16, learning_rate=1e-3, optimizer="adamw", ema_decay=0.9, warmup_epochs=0.5
)
SCENARIOS = {
    "classes": CONFIG,
    "joint in parts": replace(CONFIG, accumulate=2, optimizer="lion"),
    "head first": replace(CONFIG, head_updates=2, layer_decay=0.5, start_at_prior=True),
    "flow": CONFIG,
    "flow, shared out": replace(CONFIG, parallel="fsdp", accumulate=2, optimizer="lion"),
}


def trainer(name: str, config: TrainConfig, directory: Path | None = None, *, seed: int = 0) -> Trainer:
    """Jets with weights, a model with drops, and an objective: what the name says."""
    if "flow" in name:
        torch.manual_seed(seed)
        sizes = {"width": 16, "n_layers": 1, "n_heads": 2, "n_head_layers": 1, "n_species": 9}
        model = PETv2(PETv2Config(mode="pretrain", feature_drop=0.2, **sizes))
        train, validation = (pet_v2_batch(random_jets(n, seed=n, mean=8)) for n in (64, 72))
        objective = FlowPretraining()
    else:
        model, train, validation = small_model(seed), packed(), packed(72, seed=9)
        objective = JointPretraining() if "joint" in name else Classification()
    train = train.replace(weight=torch.linspace(0.1, 2, len(train)))
    is_main = this_shard().is_main
    run = Run(directory, {"name": name}, is_writer=is_main) if directory else None
    return Trainer(model, objective, train, validation, config, run)


def records(one: Trainer) -> list[dict[str, float]]:
    """The history without times."""
    return [{k: v for k, v in r.items() if k != "seconds"} for r in one.history.records]


def interrupted(name: str, config: TrainConfig, folder: Path) -> Trainer:
    """Stop by a file after the second validation, then go on with other first weights."""
    first = trainer(name, config, folder)
    first.fit(lambda r: (folder / "stop").touch() if r["step"] == 2 else None)
    stopped_at = first.state.step
    torch.distributed.barrier()
    again = trainer(name, config, folder, seed=5)
    again.fit()
    again.history.records.append({"stopped_at": stopped_at})
    return again


def main(folder: Path) -> None:
    """Train everything and leave the histories of each rank."""
    torch.set_num_threads(1)
    with process_group() as shard:
        made = {}
        for name, config in SCENARIOS.items():
            one = trainer(name, config, folder / name)
            one.fit(None if shard.is_main else _refuse)
            made[name] = records(one)
        for name in ("joint in parts", "flow, shared out"):
            made[f"{name}, interrupted"] = records(
                interrupted(name, SCENARIOS[name], folder / f"{name}, interrupted")
            )
        worse = replace(SCENARIOS["flow, shared out"], learning_rate=0.3)  # so no weights are kept on the way
        unsaved = trainer("flow", worse)
        unsaved.fit()
        made["shared out, unsaved"] = records(unsaved)
        made["listening"] = [
            c.laddr.ip for c in psutil.Process().net_connections("inet") if c.status == psutil.CONN_LISTEN
        ]
        (folder / f"rank-{shard.rank}.json").write_text(json.dumps(made))


def _refuse(record: object) -> None:
    raise RuntimeError("only the first process reports")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
