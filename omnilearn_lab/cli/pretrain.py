"""``omnilearn-lab pretrain``: a checkpoint from a settings file, on one machine or many."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import omnilearn_lab as lab
from omnilearn_lab.cli.display import say
from omnilearn_lab.errors import ConfigError, TrainingError
from omnilearn_lab.settings import read_settings

if TYPE_CHECKING:
    from omnilearn_lab.tasks.pretraining import PretrainConfig


def pretrain(
    config: Annotated[
        Path | None, typer.Argument(help="YAML file with the settings of PretrainConfig")
    ] = None,
    like: Annotated[
        str | None, typer.Option(help="settings of a shipped checkpoint, or of a file; options change them")
    ] = None,
    network: Annotated[str | None, typer.Option(help="pet, pet_v2 or tokens")] = None,
    size: Annotated[str | None, typer.Option(help="named size of the network")] = None,
    initial: Annotated[
        str | None, typer.Option(help="checkpoint to go on from: a shipped one, or a file")
    ] = None,
    n_train: Annotated[int | None, typer.Option(help="training jets")] = None,
    epochs: Annotated[float | None, typer.Option(help="passes over the jets")] = None,
    processes: Annotated[int, typer.Option(help="processes on this machine, one per GPU", min=1)] = 1,
    directory: Annotated[Path, typer.Option(help="run directory; an existing run goes on")] = Path(
        "results/pretrain"
    ),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what this process would do, and end")
    ] = False,
) -> None:
    """Pretrain a network on jets of many classes and write a checkpoint with its card.

    A file named "stop" in the run directory, or Ctrl-C with --processes, ends the training after the
    present update. The same command goes on from the last checkpoint, whatever ended the training.

    The terms of the loss are weighted in the settings file; masked particle modelling is a third one:

        \b
        network: pet_v2
        objectives: {classification: 1, generation: 1, masked: 1}

    Several machines, with torchrun (on each of them):

        \b
        torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d \\
          --rdzv-endpoint HOST:29500 -m omnilearn_lab.cli \\
          pretrain config.yaml --directory /shared/run

    With SLURM, as a batch script; the run directory and the data folder must be seen by all machines:

        \b
        #!/bin/bash
        #SBATCH --nodes=2 --ntasks-per-node=4
        #SBATCH --gpus-per-node=4 --cpus-per-task=8
        srun omnilearn-lab pretrain config.yaml --directory $SCRATCH/run

    The batch size is that of all processes together. Where a GPU's memory does not suffice, an update is
    done in more and smaller parts. Several processes have to start anew for that: --processes does so by
    itself, and under torchrun or srun the same command, given again, goes on with smaller parts. Put
    --dry-run behind the command to see, in seconds, whether all processes find their places.
    """
    from omnilearn_lab.tasks import pretraining

    asked = {"network": network, "size": size, "n_train": n_train, "initial": initial}
    settings = _settings(config, like, {k: v for k, v in asked.items() if v is not None})
    if epochs is not None:
        settings = replace(settings, training=replace(settings.training, epochs=epochs))
    if dry_run:
        say(_plan(settings, directory))
        return
    if processes > 1:
        _run_elsewhere(settings, directory, processes)
        return
    if directory.is_dir() and not lab.training.attach(directory).is_running:  # an old word concerns nobody
        lab.training.runs.forget_last_end(directory)
    path = pretraining.pretrain(settings, directory, on_record=_print_record(settings.training.epochs))
    place = lab.training.distributed.find_place(os.environ)
    if place is None or place.rank == 0:
        stopped = f"stopped before its end: {directory}; the same command goes on from there"
        say(f"wrote {path} and its card" if path.is_file() else stopped)


def _settings(path: Path | None, like: str | None, asked: dict[str, Any]) -> PretrainConfig:
    from omnilearn_lab.tasks.pretraining.pretraining import PretrainConfig

    if path and like:
        raise ConfigError(f"settings are asked of '{path}' and of the checkpoint '{like}'; give one of them")
    given = read_settings(path) if path else lab.models.read_card(like)["settings"] if like else {}
    given |= asked
    if isinstance(given.get("training"), dict):  # what it leaves out is as usual for the network
        usual = PretrainConfig(network=given.get("network", PretrainConfig.network)).training
        given["training"] = lab.settings.to_mapping(usual) | given["training"]
    return lab.settings.from_mapping(PretrainConfig, given)


def _plan(settings: PretrainConfig, directory: Path) -> str:
    """What this process would do: its place, its share of the jets, and how long it goes on."""
    place = lab.training.distributed.find_place(os.environ)
    shard = lab.training.Shard(place.rank, place.n_ranks) if place else lab.training.Shard()
    batch = settings.training.batch_size
    jets = shard.part(batch)
    n_updates = max(1, round(settings.training.epochs * (settings.n_train // batch)))
    meeting = f", meeting at {place.address}:{place.port}" if place else ""
    device = lab.training.default_device().type
    device += f" {place.local_rank}" if place and device == "cuda" else ""
    return (
        f"process {shard.rank} of {shard.n_ranks} on {device}{meeting}: "
        f"jets {jets.start} to {jets.stop - 1} of each {batch}, "
        f"{n_updates} updates of {settings.network} {settings.size}, in {directory}"
    )


def _run_elsewhere(settings: PretrainConfig, directory: Path, processes: int) -> None:
    """Launch, repeat the log here until the end, and pass Ctrl-C on as a wish to stop."""
    from omnilearn_lab.tasks.pretraining.pretraining import launch_pretraining

    run = launch_pretraining(settings, directory, n_processes=processes)
    try:
        _repeat_log(run)
    except KeyboardInterrupt:
        run.stop()
        say("stopping after the present update; the same command goes on from there")
        run.wait()
    if run.status in ("failed", "killed"):
        raise TrainingError(f"the training was not finished ({run.status}); see {directory / 'launch.log'}")
    say(f"{run.status}: {run.directory}")


def _repeat_log(run: lab.training.LaunchedRun) -> None:
    log = run.directory / "launch.log"
    shown = 0
    is_running = True
    while is_running:
        is_running = run.wait(timeout=0.5) in ("running", "stopping")
        text = log.read_text(errors="replace") if log.is_file() else ""
        if text[shown:].strip():
            say(text[shown:].rstrip("\n"))
        shown = len(text)


def _print_record(epochs: float) -> Callable[[dict[str, Any]], None]:
    def show_record(record: dict[str, Any]) -> None:
        speed = record["jets"] / record["seconds"] if record["seconds"] else 0.0
        terms = " ".join(f"{k} {v:.4f}" for k, v in record.items() if isinstance(v, float) and k != "seconds")
        place = f"{record['kind']:<10} epoch {record['epoch']:.2f} of {epochs:g}"
        say(f"{place}: {terms} ({speed:.0f} jets/s)")

    return show_record
