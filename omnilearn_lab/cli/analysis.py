"""From files to scores without a notebook: every command is an estimator of the front door."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from tqdm import tqdm

import omnilearn_lab as lab
from omnilearn_lab.cli.data import AsJson, own_reader
from omnilearn_lab.cli.display import hdf5_target, make_table, say, shorten, show, show_json
from omnilearn_lab.errors import ConfigError, DataFileError, nearest, translated
from omnilearn_lab.machine import append_rows, atomic_hdf5, atomic_path, check_disk, make_folder, write_text

Files = Annotated[list[Path], typer.Argument(help="files of jets; a pattern such as 'data/*.root' works")]
Model = Annotated[Path, typer.Argument(help="folder that finetune wrote")]
Columns = Annotated[
    str | None, typer.Option(help="column map: a YAML file or a preset; ML-ready files need none")
]
Target = Annotated[Path, typer.Option("--out", help="what to write")]
Chunk = Annotated[int, typer.Option(help="rows read at a time", min=1)]
Settings = Annotated[Path | None, typer.Option(help="YAML file with parameters; options change them")]
Seed = Annotated[int | None, typer.Option(help="fixes weights, split and order", min=0)]
_CHUNK = 20_000
_TASKS = ("classifier", "regressor", "generator")


def finetune(
    files: Files,
    out: Target,
    columns: Columns = None,
    task: Annotated[str, typer.Option(help="classifier, regressor or generator")] = "classifier",
    checkpoint: Annotated[str | None, typer.Option(help="shipped name or file; 'none': from scratch")] = None,
    train: Annotated[str | None, typer.Option(help="all, head (seconds) or adapters")] = None,
    epochs: Annotated[float | None, typer.Option(help="passes over the jets")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="peak rate")] = None,
    target: Annotated[list[str] | None, typer.Option(help="of a regressor: a jet column to learn")] = None,
    settings: Settings = None,
    seed: Seed = None,
    max_jets: Annotated[int | None, typer.Option(help="use so many jets, drawn at random", min=2)] = None,
) -> None:
    """Train on labelled jets and keep the result in a folder; an interrupted training goes on.

    Example: omnilearn-lab finetune train.h5 --out tagger --train head
    """
    if task not in _TASKS:
        raise ConfigError(f"there is no task '{task}'; {nearest(task, _TASKS)}")
    cls = getattr(lab.estimators, f"PET{task.capitalize()}")
    given = {"train": train, "epochs": epochs, "learning_rate": learning_rate, "random_state": seed}
    chosen = {name: value for name, value in given.items() if value is not None}
    if checkpoint is not None:
        chosen["checkpoint"] = None if checkpoint == "none" else checkpoint
    parameters = _parameters(cls, settings, chosen)
    jets = _read(files, columns, max_jets, seed or 1)
    estimator = cls(**{"directory": str(out / "run")} | parameters)
    say(f"{cls.__name__} on {jets.summary()}")
    arguments = ({name: _column(jets, name) for name in target or ()},) if task == "regressor" else ()
    with _progress() as record:
        estimator.fit(jets, *arguments, on_record=record)
    say(f"written: {shorten(estimator.save(out))}")


def inspect(
    file: Annotated[Path, typer.Argument(help="a ROOT or HDF5 file")],
    out: Annotated[Path | None, typer.Option(help="write the proposed column map to this YAML file")] = None,
    tree: Annotated[str, typer.Option(help="of a ROOT file; else the one with most columns")] = "",
) -> None:
    """Show what is in a file, which preset fits, and a column map that --columns takes.

    Example: omnilearn-lab inspect mine.root --out map.yaml
    """
    seen = lab.readers.inspect(file, tree=tree)
    say(repr(seen))
    if out is not None:
        say(f"written: {shorten(write_text(out, seen.to_yaml()))}")


def predict(
    model: Model,
    files: Files,
    out: Target,
    columns: Columns = None,
    name: Annotated[str, typer.Option(help="of the new columns")] = "score",
    chunk: Chunk = _CHUNK,
) -> None:
    """Write scores beside the columns of a file, row by row, in bounded memory; resumes.

    Rows that were not read (empty or bad jets) get not-a-number; scores of several jets per event are
    lists aligned with these jets. With several files OUT is a folder.

    Example: omnilearn-lab predict tagger data.root --columns map.yaml --out scored.root
    """
    estimator, reader = lab.estimators.load_estimator(model), _reader(columns, "drop")
    for source, target in _targets(lab.readers.own.reader.expand(files), out).items():
        scores, places = _scores(estimator, reader, source, target.with_name(f".{target.name}.scores"), chunk)
        mapped = getattr(reader, "columns", None)
        columns_made = {f"{name}_{part}" if part else name: values for part, values in scores.items()}
        options = {"tree": mapped.tree, "aligned_with": mapped.of_jets()} if mapped else {}
        lab.readers.add_columns(source, target, columns_made, jets=places, **options)
        say(f"written: {shorten(target)}")


def evaluate(model: Model, files: Files, columns: Columns = None, as_json: AsJson = False) -> None:
    """Measure a classifier or regressor on labelled jets: accuracy, AUC and rejections, or errors.

    Example: omnilearn-lab evaluate tagger test.h5 --json
    """
    estimator, jets = lab.estimators.load_estimator(model), _read(files, columns)
    if isinstance(estimator, lab.estimators.PETClassifier):
        numbers = lab.metrics.classification_metrics(
            estimator.predict_proba(jets),
            estimator.numbers_of(jets),
            weights=jets.jet.get("weight"),
            class_names=tuple(map(str, estimator.classes_)),
        ).to_dict()
    else:
        numbers = {}
        guesses = estimator.predict(jets).reshape(len(jets), -1).T
        for target, guess in zip(estimator.target_names_, guesses, strict=True):
            error = guess - _column(jets, target)
            numbers[f"{target}: mean error"] = error.mean()
            numbers[f"{target}: root mean square error"] = (error**2).mean() ** 0.5
    if as_json:
        show_json({name: float(value) for name, value in numbers.items()})
    else:
        rows = [(name, f"{value:.4g}") for name, value in numbers.items()]
        show(make_table(f"{len(jets):,} jets", ("", ""), rows, numbers=1))


def embed(
    model: Annotated[str, typer.Argument(help="a folder, or a checkpoint: tiny")],
    files: Files,
    out: Target,
    columns: Columns = None,
    chunk: Chunk = _CHUNK,
) -> None:
    """Write the network's embedding of every jet to an HDF5 file, with labels where there are any.

    Example: omnilearn-lab embed tiny jets.h5 --out embedding.h5
    """
    reader, sources = _reader(columns, "drop"), lab.readers.own.reader.expand(files)
    with atomic_hdf5(hdf5_target(out)) as file:
        estimator = lab.estimators.load_estimator(model) if Path(model).is_dir() else None
        for jets in _chunks(reader, sources, chunk):
            estimator = estimator or lab.estimators.PETClassifier.untrained(model, jets)
            append_rows(file, "embedding", estimator.transform(jets))
            if "label" in jets.jet:
                append_rows(file, "label", jets.label)
            check_disk(file)
    say(f"written: {shorten(out)}")


def generate(
    model: Model,
    out: Target,
    n_jets: Annotated[int, typer.Option(help="number of jets", min=1)] = 10_000,
    label: Annotated[str | None, typer.Option(help="class of all jets; else as in training")] = None,
    seed: Seed = None,
) -> None:
    """Generate jets and write them in the ML-ready layout.

    Example: omnilearn-lab generate generator --n-jets 1000 --out generated.h5
    """
    hdf5_target(out)
    jets = lab.estimators.PETGenerator.load(model).sample(n_jets, label, seed=seed)
    say(f"wrote {jets.summary()} to {shorten(lab.jets.write_jets(jets, out))}")


def export(
    model: Model,
    out: Target,
    max_particles: Annotated[int, typer.Option(help="slots of each jet", min=2)] = 128,
    n_jets: Annotated[int, typer.Option(help="jets of each call", min=1)] = 1,
) -> None:
    """Write a tagger or regressor as an ONNX file for trigger and reconstruction software.

    Example: omnilearn-lab export tagger --out tagger.onnx --max-particles 64
    """
    path = lab.estimators.export_onnx(
        lab.estimators.load_estimator(model), out, max_particles=max_particles, n_jets=n_jets
    )
    say(f"written: {shorten(path)}")


def reweight(
    source: Annotated[Path, typer.Argument(help="jets to be reweighted")],
    target: Annotated[Path, typer.Argument(help="what they are to look like")],
    out: Target,
    columns: Columns = None,
    settings: Settings = None,
    save: Annotated[Path | None, typer.Option(help="also keep the reweighter in this folder")] = None,
) -> None:
    """Learn weights that make the jets of one file look like those of another, and write them to a file.

    Example: omnilearn-lab reweight simulation.h5 data.h5 --out weights.h5
    """
    parameters = _parameters(lab.estimators.Reweighter, settings)
    hdf5_target(out)
    jets = _read([source], columns)
    with _progress() as record:
        reweighter = lab.estimators.Reweighter(**parameters).fit(
            jets, _read([target], columns), on_record=record
        )
    weights = reweighter.predict(jets)
    with atomic_hdf5(out) as file:
        append_rows(file, "weight", weights)
    if save:
        reweighter.save(save)
    share = weights.sum() ** 2 / (weights**2).sum() / len(weights)
    say(f"{len(weights):,} weights, worth {share:.0%} of as many unweighted jets; written: {shorten(out)}")


def unfold(
    truth: Annotated[Path, typer.Argument(help="simulated jets at particle level")],
    detector: Annotated[Path, typer.Argument(help="the same jets at detector level, row by row")],
    data: Annotated[Path, typer.Argument(help="measured jets at detector level")],
    out: Target,
    columns: Columns = None,
    settings: Settings = None,
) -> None:
    """Unfold data with OmniFold and write weights of the particle-level jets, with uncertainties.

    Example: omnilearn-lab unfold truth.h5 detector.h5 data.h5 --out unfolded.h5
    """
    from omnilearn_lab.tasks.reweighting import PairedSample

    parameters = _parameters(lab.estimators.OmniFold, settings)
    hdf5_target(out)
    levels, measured = [_read([path], columns) for path in (truth, detector)], _read([data], columns)
    if len(levels[0]) != len(levels[1]):
        raise ConfigError(
            f"'{truth}' has {len(levels[0])} jets, '{detector}' {len(levels[1])}; rows must pair"
        )
    unfolded = lab.estimators.OmniFold(**parameters).fit(PairedSample(*levels), measured)
    say(f"{len(unfolded.predict()):,} weights; written: {shorten(unfolded.save(out))}")


def _reader(columns: str | None, bad_jets: Any = "error") -> lab.readers.Reader:
    if columns is None:
        return lab.readers.make_reader("ml_ready", bad_jets=bad_jets)
    return own_reader(columns, bad_jets)


def _chunks(reader: lab.readers.Reader, files: list[Path], chunk: int) -> Iterator[lab.jets.Jets]:
    with tqdm(total=sum(map(reader.count, files)), unit=" rows", unit_scale=True) as bar:
        for path in files:
            for jets in reader.iterate(path, chunk=chunk):
                yield jets
                first, last = jets.provenance["rows"]
                bar.update(last - first)


def _read(
    files: list[Path], columns: str | None, max_jets: int | None = None, seed: int = 1
) -> lab.jets.Jets:
    jets = lab.jets.Jets.concatenate(_chunks(_reader(columns), lab.readers.own.reader.expand(files), _CHUNK))
    if max_jets is None or max_jets >= len(jets):
        return jets
    return jets[np.sort(np.random.default_rng(seed).permutation(len(jets))[:max_jets])]


def _column(jets: lab.jets.Jets, name: str) -> np.ndarray:
    if name not in jets.jet:
        raise ConfigError(f"these jets have no column '{name}'; {nearest(name, jets.jet)}")
    return jets.jet[name]


def _parameters(cls: type, settings: Path | None, chosen: dict[str, Any] | None = None) -> dict[str, Any]:
    parameters = (lab.settings.read_settings(settings) if settings else {}) | (chosen or {})
    accepted = cls().get_params()
    for name in parameters:
        if name not in accepted:
            raise ConfigError(f"{cls.__name__} has no parameter '{name}'; {nearest(name, accepted)}")
    return parameters


def _targets(sources: list[Path], out: Path) -> dict[Path, Path]:
    if len(sources) == 1 and not out.is_dir():
        return {sources[0]: out}
    make_folder(out)
    return {source: out / source.name for source in sources}


def _scores(
    estimator: lab.estimators.base.JetEstimator,
    reader: lab.readers.Reader,
    source: Path,
    parts: Path,
    chunk: int,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Scores of all jets, and the places of these in the file.

    Finished chunks stay in a folder until all are there: a killed run goes on.
    """
    stamp = [source.stat().st_size, source.stat().st_mtime_ns]
    about = {"file": stamp, "chunk": chunk, "model": estimator.checksum()}
    if not _is_of(parts / "about.json", about):
        shutil.rmtree(parts, ignore_errors=True)
        parts.mkdir(parents=True)
        write_text(parts / "about.json", json.dumps(about))
    n_rows = reader.count(source)
    starts = range(0, n_rows, chunk)
    first = next((s for s in starts if not (parts / f"{s}.npz").is_file()), n_rows)
    blocks = zip(range(first, n_rows, chunk), reader.iterate(source, chunk=chunk, start=first), strict=True)
    for start, jets in tqdm(blocks, total=len(range(first, n_rows, chunk)), unit=" chunks"):
        made = {name: jets.jet[name] for name in ("row", "rank") if name in jets.jet}
        none = np.zeros((0, len(estimator.score_names())), np.float32)
        made["scores"] = estimator.scores(jets) if len(jets) else none
        with atomic_path(parts / f"{start}.npz") as path:
            np.savez(path, **made)
    with translated(
        DataFileError, f"the chunks in '{parts}' are damaged", "delete that folder and predict again"
    ):
        chunks = [dict(np.load(parts / f"{start}.npz", allow_pickle=False)) for start in starts]
    if not chunks:
        raise ConfigError(f"'{source}' has no rows")
    joined = {name: np.concatenate([part[name] for part in chunks]) for name in chunks[0]}
    shutil.rmtree(parts)
    return dict(zip(estimator.score_names(), joined.pop("scores").T, strict=True)), joined


def _is_of(note: Path, about: dict[str, Any]) -> bool:
    """Whether a note is there, whole, and says the same."""
    with suppress(OSError, ValueError, RecursionError):
        return json.loads(note.read_text(encoding="utf-8")) == about
    return False


@contextmanager
def _progress() -> Iterator[Callable[[dict[str, Any]], None]]:
    """A line that shows the last record of a training."""
    with tqdm(unit=" records") as bar:

        def show_record(record: dict[str, Any]) -> None:
            bar.update()
            bar.set_postfix({k: record[k] for k in ("epoch", "loss") if k in record})

        yield show_record
