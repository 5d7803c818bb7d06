"""``omnilearn-lab pretrain``: a checkpoint from a settings file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnilearn_lab.cli.display import say
from omnilearn_lab.cli.settings import read_settings

if TYPE_CHECKING:
    from omnilearn_lab.training import TrainConfig

__all__ = ["pretrain"]


def pretrain(
    config: Annotated[
        Path | None, typer.Argument(help="YAML file with the settings of PretrainConfig")
    ] = None,
    network: Annotated[str | None, typer.Option(help="pet or pet_v2")] = None,
    size: Annotated[str | None, typer.Option(help="named size of the network")] = None,
    n_train: Annotated[int | None, typer.Option(help="training jets")] = None,
    epochs: Annotated[float | None, typer.Option(help="passes over the jets")] = None,
    directory: Annotated[Path, typer.Option(help="run directory; an existing run goes on")] = Path(
        "results/pretrain"
    ),
) -> None:
    """Pretrain a PET on jets of many classes and write a checkpoint with its card."""
    from omnilearn_lab.config import from_mapping
    from omnilearn_lab.tasks.pretraining import PretrainConfig
    from omnilearn_lab.tasks.pretraining import pretrain as run_pretraining

    values = read_settings(config) if config else {}
    asked = {"network": network, "size": size, "n_train": n_train}
    values |= {name: value for name, value in asked.items() if value is not None}
    settings = from_mapping(PretrainConfig, values)
    if epochs is not None:
        settings = replace(settings, training=replace(settings.training, epochs=epochs))
    path = run_pretraining(settings, directory, on_record=_print_record(settings.training))
    say(f"wrote {path} and its card")


def _print_record(config: TrainConfig) -> Callable[[dict[str, Any]], None]:
    def show_record(record: dict[str, Any]) -> None:
        speed = record["jets"] / record["seconds"] if record["seconds"] else 0.0
        terms = " ".join(f"{k} {v:.4f}" for k, v in record.items() if isinstance(v, float) and k != "seconds")
        place = f"{record['kind']:<10} epoch {record['epoch']:.2f} of {config.epochs:g}"
        say(f"{place}: {terms} ({speed:.0f} jets/s)")

    return show_record
