"""The command line: the same things as in the notebooks, for terminals and batch nodes."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Table

from omnilearn_lab.errors import OmniLearnLabError

if TYPE_CHECKING:
    from omnilearn_lab.training import TrainConfig

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="OmniLearn and OmniLearned, the jet foundation models, from the command line.",
)
_console = Console()


@app.command()
def run(
    notebook: Annotated[str, typer.Argument(help="a notebook's name, or 'all'")],
    profile: Annotated[str, typer.Option(help="smoke, quick or full")] = "quick",
) -> None:
    """Execute a notebook and print a summary of its results."""
    from omnilearn_lab.tasks.notebooks import execute_notebook, find_notebooks

    for name in find_notebooks() if notebook == "all" else [notebook]:
        done = execute_notebook(name, profile)
        results = done.directory / "results.json"
        if results.is_file():
            _console.print(summary_table(json.loads(results.read_text())))
        _console.print(f"{name} ({profile}) took {done.seconds:.0f} s; results in {_short(done.directory)}")


@app.command()
def simulate(
    dataset: Annotated[str, typer.Argument(help="a dataset of the catalogue")],
    output: Annotated[Path, typer.Argument(help="HDF5 file to write")],
    n_jets: Annotated[int, typer.Option(help="number of jets")] = 10_000,
    seed: Annotated[int, typer.Option(help="fixes the jets")] = 1,
    workers: Annotated[int | None, typer.Option(help="processes; all usable cores by default")] = None,
) -> None:
    """Simulate jets of a dataset and write them in the ML-ready layout."""
    from omnilearn_lab.jets import write_jets
    from omnilearn_lab.simulation import simulate as simulate_jets

    jets = simulate_jets(dataset, n_jets, seed=seed, workers=workers)
    write_jets(jets, output)
    _console.print(f"wrote {jets.summary()} to {output}")


@app.command()
def pretrain(
    config: Annotated[
        Path | None, typer.Argument(help="YAML file with the settings of PretrainConfig")
    ] = None,
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

    values: dict[str, Any] = (yaml.safe_load(config.read_text()) or {}) if config else {}
    values |= {k: v for k, v in {"size": size, "n_train": n_train}.items() if v is not None}
    settings = from_mapping(PretrainConfig, values)
    if epochs is not None:
        settings = _with_epochs(settings, epochs)
    path = run_pretraining(settings, directory, on_record=_print_record(settings.training))
    _console.print(f"wrote {path} and its card")


def summary_table(results: dict[str, Any]) -> Table:
    """Return scratch, fine-tuned and published numbers of a results file side by side."""
    table = Table(title=f"{results['notebook']} ({results.get('source', 'unknown source')})")
    published = results.get("published", {})
    for head in ("", "scratch", "fine-tuned", *published):
        table.add_column(head, justify="left" if not head else "right")
    for metric in results.get("scratch", {}):
        cells = [_mean_and_spread(results[kind][metric]) for kind in ("scratch", "finetuned")]
        table.add_row(metric, *cells, *(_shown(row.get(metric)) for row in published.values()))
    if "speedup_epochs" in results:
        table.add_row("speed-up (epochs)", "1", _mean_and_spread(results["speedup_epochs"]))
    return table


def main() -> None:
    """Run the command line; an error of ours becomes one line and exit status 1."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        app()
    except OmniLearnLabError as error:
        Console(stderr=True).print(f"[bold red]error:[/] {error}")
        raise SystemExit(1) from None


def _mean_and_spread(values: list[float | None]) -> str:
    from omnilearn_lab.metrics import spread

    known = [v for v in values if v is not None]
    if not known:
        return "not reached"
    text = str(spread(known))
    return text if len(known) == len(values) else f"{text} ({len(known)} of {len(values)} seeds)"


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _with_epochs(settings: Any, epochs: float) -> Any:
    from dataclasses import replace

    return replace(settings, training=replace(settings.training, epochs=epochs))


def _print_record(config: TrainConfig) -> Any:
    def show(record: dict[str, Any]) -> None:
        speed = record["jets"] / record["seconds"] if record["seconds"] else 0.0
        terms = " ".join(f"{k} {v:.4f}" for k, v in record.items() if isinstance(v, float) and k != "seconds")
        place = f"{record['kind']:<10} epoch {record['epoch']:.2f} of {config.epochs:g}"
        _console.print(f"{place}: {terms} ({speed:.0f} jets/s)")

    return show


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
