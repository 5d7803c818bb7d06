"""omnilearn-lab data and simulate: look, fetch, simulate, convert, check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

import omnilearn_lab as lab
from omnilearn_lab.cli.display import hdf5_target, make_table, say, shorten, show, show_json
from omnilearn_lab.display import number
from omnilearn_lab.errors import ConfigError

data_app = typer.Typer(no_args_is_help=True, help="The data catalogue: look, fetch, simulate, convert.")

Dataset = Annotated[str, typer.Argument(help="a dataset of the catalogue")]
Split = Annotated[str | None, typer.Option(help="train, val or test")]
Variant = Annotated[str | None, typer.Option(help="another version of the dataset, such as herwig")]
DataDir = Annotated[Path | None, typer.Option(help="data folder; else OMNILEARN_LAB_DATA, else the cache")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]
Workers = Annotated[int | None, typer.Option(help="processes; all usable cores by default")]
Dask = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="scheduler of a Dask cluster to use instead")
]
Output = Annotated[Path, typer.Argument(help="HDF5 file to write")]
Slots = Annotated[int, typer.Option(help="slots per jet; the softest particles beyond are dropped")]


@data_app.command("list")
def list_datasets(as_json: AsJson = False) -> None:
    """List all datasets: what they are, how large, and what stands for them offline."""
    heads = lab.catalog.entries.COLUMNS
    rows = lab.catalog.catalog().rows()
    if as_json:
        show_json([dict(zip(heads, row, strict=True)) for row in rows])
    else:
        short = [(*row, "-" if stand_in == "-" else "yes") for *row, stand_in in rows]
        show(make_table("datasets", (*heads[:-1], "stand-in"), short))


@data_app.command()
def info(name: Dataset, as_json: AsJson = False) -> None:
    """Tell everything that is known about a dataset."""
    item = lab.catalog.entry(name)
    if as_json:
        show_json({"name": name, **item.model_dump(mode="json")})
    else:
        show(make_table(f"{name}: {item.title}", ("", ""), _facts(item)))


def _facts(item: lab.catalog.DatasetEntry) -> list[tuple[str, str]]:
    here = lab.catalog.files(item)
    names = (
        f"{len(here)}: {here[0].name} ... {here[-1].name}" if len(here) > 1 else "".join(f.name for f in here)
    )
    variants = sorted({group.variant for group in item.files if group.variant} | set(item.recipe_variants))
    splits = [f"{name} {split.jets:,} jets" if split.jets else name for name, split in item.splits.items()]
    facts = {
        "physics": item.physics,
        "selection": item.selection,
        "kind": f"{item.kind}, {item.availability.replace('_', ' ')}",
        "classes": ", ".join(item.classes),
        "splits": ", ".join(splits),
        "files": names + (f" ({item.size_gb:g} GB)" if item.size_gb else ""),
        "unverified": _unverified(here),
        "variants": ", ".join(variants),
        "reader": item.reader,
        "record": item.record or (f"https://doi.org/{item.doi}" if item.doi else ""),
        "licence": item.licence,
        "stand-in": item.stand_in or "",
        "results in": item.table or "",
        "mind": "\n".join(f"- {pitfall}" for pitfall in item.pitfalls),
    }
    return [(head, text) for head, text in facts.items() if text]


def _unverified(published: Sequence[lab.catalog.entries.DataFile]) -> str:
    n_unknown = sum(file.checksum is None for file in published)
    return f"{n_unknown} of {len(published)} files: their publisher gives no checksum" if n_unknown else ""


@data_app.command("citation")
def print_citation(name: Dataset) -> None:
    """Print what to cite for a dataset, with BibTeX."""
    say(lab.catalog.citation(name))


@data_app.command()
def fetch(
    name: Dataset,
    split: Split = None,
    subset: Annotated[int | None, typer.Option(help="the first files only", min=1)] = None,
    variant: Variant = None,
    data_dir: DataDir = None,
) -> None:
    """Download, check and unpack published files; an interrupted download goes on."""
    options = lab.catalog.FetchOptions(data_dir=data_dir, variant=variant)
    for path in lab.catalog.fetch(name, split=split, subset=subset, options=options):
        say(shorten(path))


@data_app.command()
def simulate(
    dataset: Dataset,
    output: Output,
    n_jets: Annotated[int, typer.Option(help="number of jets", min=1)] = 10_000,
    seed: Annotated[int, typer.Option(help="fixes the jets", min=0)] = 1,
    split: Annotated[str, typer.Option(help="train, val or test: independent jets")] = "train",
    profile: Annotated[str, typer.Option(help="quick or production")] = "quick",
    variant: Variant = None,
    max_particles: Slots = 150,
    workers: Workers = None,
    dask: Dask = None,
) -> None:
    """Simulate jets of a dataset and write them in the ML-ready layout; an interrupted run goes on."""
    hdf5_target(output)
    with lab.machine.open_executor(workers, dask=dask) as executor:
        options = lab.catalog.LoadOptions(profile=profile, variant=variant, simulation={"workers": executor})
        jets = lab.catalog.load(
            dataset, split, source="simulated", max_jets=n_jets, seed=seed, options=options
        )
    say(f"wrote {jets.summary()} to {shorten(lab.jets.write_jets(jets, output, max_particles))}")


@data_app.command()
def convert(
    sources: Annotated[
        list[str], typer.Argument(help="a dataset of the catalogue, or files", metavar="NAME|FILES")
    ],
    out: Annotated[
        Path | None, typer.Option(help="*.h5: one file for all; else a folder, one per file")
    ] = None,
    split: Annotated[str, typer.Option(help="of a dataset: train, val or test")] = "train",
    reader: Annotated[str | None, typer.Option(help="of files: a reader's name, such as jetclass")] = None,
    columns: Annotated[
        str | None, typer.Option(help="of your own files: a YAML file with a column map, or a preset")
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="with --columns: only show what was understood")] = False,
    max_jets: Annotated[int | None, typer.Option(help="stop after so many", min=1)] = None,
    max_particles: Slots = 150,
    drop_bad: Annotated[bool, typer.Option(help="drop jets that are not valid instead of stopping")] = False,
    data_dir: DataDir = None,
    workers: Workers = None,
    dask: Dask = None,
) -> None:
    """Convert published files, or your own, to the ML-ready layout, in bounded memory.

    A dataset's copy goes to its place in the data folder, where it is found from then on.
    """
    options = lab.readers.ConvertOptions(max_particles=max_particles, max_jets=max_jets)
    if reader is None and columns is None:
        name = _only_name(sources, out)
        config = lab.catalog.DatasetConversion(data_dir=data_dir, drop_bad_jets=drop_bad, options=options)
        with lab.machine.open_executor(workers, dask=dask) as executor:
            say(f"wrote {shorten(lab.catalog.convert_dataset(name, split, config=config, workers=executor))}")
        return
    chosen = _reader(reader, columns, "drop" if drop_bad else "error")
    if dry_run:
        _show_dry_run(sources, chosen)
        return
    with lab.machine.open_executor(workers, dask=dask) as executor:
        made = _convert_files(sources, out, chosen, options, executor=executor)
    for path in made:
        say(f"wrote {shorten(path)}")
    say(f"OmniLearned reads it with: {lab.jets.original_command(lab.jets.read_jets(made[0], 0, 1))}")


def _only_name(sources: list[str], out: Path | None) -> str:
    if len(sources) > 1 or out is not None or Path(sources[0]).suffix or Path(sources[0]).is_file():
        raise ConfigError(
            f"files need --reader or --columns ('omnilearn-lab inspect {sources[0]}' proposes a column map); "
            "a dataset's name goes alone, without --out"
        )
    return sources[0]


def _reader(name: str | None, columns: str | None, bad_jets: Any) -> lab.readers.Reader:
    if name is not None and columns is not None:
        raise ConfigError("--reader and --columns exclude each other; give one of them")
    if name is not None:
        return lab.readers.make_reader(name, bad_jets=bad_jets)
    return own_reader(str(columns), bad_jets)


def own_reader(columns: str, bad_jets: Any) -> lab.readers.Reader:
    """Return a reader of one's own files by a column map: a YAML file, or the name of a preset."""
    is_file = Path(columns).suffix in (".yaml", ".yml")
    mapping = lab.settings.read_settings(Path(columns)) if is_file else columns
    return lab.readers.OwnFormat(columns=lab.readers.column_map(mapping), bad_jets=bad_jets)


def _show_dry_run(sources: list[str], reader: lab.readers.Reader) -> None:
    if not isinstance(reader, lab.readers.OwnFormat):
        raise ConfigError("--dry-run goes with --columns")
    for source in sources:
        say(repr(lab.readers.from_file(source, reader.columns, dry_run=True, bad_jets=reader.bad_jets)))


def _convert_files(
    sources: list[str],
    out: Path | None,
    reader: lab.readers.Reader,
    options: lab.readers.ConvertOptions,
    *,
    executor: Any,
) -> list[Path]:
    if out is None:
        raise ConfigError("give the target: --out FILE.h5 for one file, or --out FOLDER for one per input")
    if out.suffix in (".h5", ".hdf5"):
        return [lab.readers.convert(sources, out, reader, options=lab.catalog.evenly(options, len(sources)))]
    return lab.catalog.convert_files(sources, out, reader, options=options, workers=executor)


@data_app.command()
def verify(
    name: Annotated[str | None, typer.Argument(help="a dataset of the catalogue")] = None,
    every: Annotated[bool, typer.Option("--all", help="simulate every stand-in and compare")] = False,
    split: Split = None,
    variant: Variant = None,
    data_dir: DataDir = None,
    n_jets: Annotated[int, typer.Option(help="with --all: jets per stand-in", min=2)] = 200,
    seed: Annotated[int, typer.Option(help="with --all: fixes the jets", min=0)] = 1,
    profile: Annotated[str, typer.Option(help="with --all: quick or production")] = "quick",
    as_json: AsJson = False,
) -> None:
    """Check the published files of a dataset, or with --all the stand-ins of all datasets.

    The exit status is 1 when a file is wrong or missing, or a stand-in cannot be made and read back.
    """
    if (name is None) is not every:
        raise ConfigError("name a dataset to check its files, or give --all to check all stand-ins")
    if name is None:
        is_good = _verify_stand_ins(n_jets, seed, profile, as_json=as_json)
    else:
        options = lab.catalog.FetchOptions(data_dir=data_dir, variant=variant)
        states = lab.catalog.verify(name, split=split, options=options)
        is_good = all(status.is_here for status in states)
        if as_json:
            show_json([asdict(status) for status in states])
        else:
            rows = [(status.name, status.state, status.detail) for status in states]
            show(make_table(f"files of {name}", ("file", "state", "detail"), rows))
    if not is_good:
        raise typer.Exit(1)


def _verify_stand_ins(n_jets: int, seed: int, profile: str, *, as_json: bool) -> bool:
    found = list(lab.catalog.check_stand_ins(None, n_jets, seed=seed, profile=profile))
    if as_json:
        show_json([_as_mapping(check) for check in found])
    else:
        title = f"simulated stand-ins, {n_jets} jets each, mean ± its error (published mean)"
        heads = ("dataset", "recipe", "jets/s", "jets/event", "pT [GeV]", "mass [GeV]", "multiplicity")
        show(make_table(title, heads, [_row(check) for check in found], numbers=5))
    return all(check.is_good for check in found)


def _as_mapping(check: lab.catalog.StandInCheck) -> dict[str, Any]:
    means = {mean.observable: mean._asdict() | {"ratio": mean.ratio} for mean in check.means}
    return asdict(check) | {"what": check.what._asdict(), "means": means}


def _row(check: lab.catalog.StandInCheck) -> Sequence[str]:
    name = f"{check.what.dataset} ({check.what.variant})" if check.what.variant else check.what.dataset
    if not check.is_good:
        return (name, check.what.recipe, "failed:", check.problem, "", "", "")
    efficiency = "" if check.jets_per_event is None else f"{check.jets_per_event:.2f}"
    rates = (f"{check.jets_per_second:.0f}", efficiency)
    return (name, check.what.recipe, *rates, *map(_mean, check.means))


def _mean(check: lab.catalog.MeanCheck) -> str:
    text = number(check.mean, check.error)
    return text if check.published is None else f"{text} ({check.published:.4g})"
