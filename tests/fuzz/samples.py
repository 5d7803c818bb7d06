"""One small, sound file of every format and setting, and how it is opened: what the mutations start from."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from omnilearn_lab.catalog import catalog, files, store
from omnilearn_lab.catalog.download import check_file
from omnilearn_lab.catalog.entries import DataFile
from omnilearn_lab.catalog.store import Store
from omnilearn_lab.estimators import PETClassifier, load_estimator
from omnilearn_lab.jets import Jets, read_jets, write_jets
from omnilearn_lab.models import PET, PETConfig, load_checkpoint, load_published, read_card, save_checkpoint
from omnilearn_lab.models.pet_v2 import PETv2, PETv2Config
from omnilearn_lab.models.published.v2 import write_published_v2
from omnilearn_lab.notebook.profiles import notebook_profile
from omnilearn_lab.notebook.recorded import check_results, read_results, write_json
from omnilearn_lab.notebook.report import Report
from omnilearn_lab.plotting.data import Column, Table, attach_data, export_figure_data, read_figure_data
from omnilearn_lab.plotting.figure import PaperFigure
from omnilearn_lab.readers import from_file, make_reader
from omnilearn_lab.readers.own.columns import column_map
from omnilearn_lab.readers.published.atlas import read_atlas_omnifold
from omnilearn_lab.settings import read_settings
from omnilearn_lab.simulation.haloes import read_cosmobench
from omnilearn_lab.simulation.molecules.sets import (
    read_molecules,
    read_omol25,
    shipped_molecules,
    write_molecules,
)
from omnilearn_lab.tasks.common import ClassifierData, ClassifierSettings, load_trained, train_classifier
from omnilearn_lab.tasks.reweighting.ratios import RatioConfig
from omnilearn_lab.tasks.reweighting.reweighter import Reweighter
from omnilearn_lab.tasks.reweighting.samples import PairedSample
from omnilearn_lab.tasks.search.weak_supervision import WeakSupervisionConfig, WeakSupervisionResult
from omnilearn_lab.tasks.unfolding.omnifold import OmniFold, OmniFoldConfig, UnfoldingResult, read_weights
from omnilearn_lab.training import History, Run, TrainConfig, read_progress

from tests.catalog.test_entries import GOOD
from tests.conftest import random_jets
from tests.readers import samples
from tests.readers.published import (
    test_aspen,
    test_atlas_flavour,
    test_atlas_omnifold,
    test_atlas_top,
    test_cms_mod,
    test_h1,
    test_jetclass2,
    test_lhco,
    test_omnifold,
)
from tests.simulation.haloes import test_cosmobench
from tests.simulation.molecules import test_omol25
from tests.training.helpers import packed


class Sample(NamedTuple):
    """A sound file and what opens it.

    Attributes
    ----------
    name
        Of the file; its ending chooses the mutations.
    make
        Writes it.
    open
        Opens it; Jets are checked further.
    """

    name: str
    make: Callable[[Path], Any]
    open: Callable[[Path], Any]


TRUE = samples.truth(8)
LABELS = np.arange(8) % 2
NUMBERS = np.random.default_rng(1).normal(0.2, 1, (2, 60))
LOGISTIC = RatioConfig(network="logistic")
BUDGET = TrainConfig(epochs=1, batch_size=16, learning_rate=1e-3, validations_per_epoch=1)
COLUMNS = {
    "particles": {"pt": "trk/pt", "eta": "trk/eta", "phi": "trk/phi", "energy": "trk/e"},
    "jet": {"label": "label"},
    "class_names": ["QCD", "top"],
}


def _read(name: str, **options: Any) -> Callable[[Path], Jets]:
    return lambda path: make_reader(name, **options).read(path)


def _own(path: Path) -> None:
    columns = {"pt": TRUE.pt, "eta": TRUE.eta, "phi": TRUE.phi, "e": TRUE.energy}
    padded = {f"trk/{name}": TRUE.padded([values], 15)[..., 0] for name, values in columns.items()}
    samples.write_h5(path, label=LABELS, **padded)


def _pandas(path: Path) -> None:
    import pandas as pd

    pd.DataFrame(test_lhco.events()).to_hdf(path, key="df")


def _catalogue(path: Path) -> None:
    for item in catalog(path).entries.values():
        for split in item.splits:
            files(item, split)
    repr(catalog(path))


def _profile(path: Path) -> None:
    os.environ["OMNILEARN_LAB_PROFILES"] = str(path.parent)
    notebook_profile(path.stem, "smoke")


def _write_profile(path: Path) -> None:
    changes = {"n_train": 100, "n_test": 100, "compare": {"seeds": [1, 2], "scratch": {"epochs": 3}}}
    changes["compare"]["finetuned"] = {"epochs": 3, "learning_rate": 1e-3}
    path.write_text(yaml.safe_dump({"smoke": changes}))


def _write_results(path: Path) -> None:
    values = {"scratch": [0.9, 0.8], "finetuned": [0.95, 0.9]}
    comparison = {
        "seeds": [1, 2],
        "n_train": 10,
        "metrics": {"auc": values},
        "published": {"PFN": {"auc": 0.9}},
    }
    about = {"notebook": "03_finetune_top", "profile": "quick", "date": "2026-01-01", "versions": {}}
    more = {"seconds": {"a": 1.0}, "source": "simulated", "seeds": [1], "comparisons": {"top": comparison}}
    write_json(check_results(about | more), path)


def _report(path: Path) -> None:
    report = Report([read_results(path)])
    report.to_html(), report.to_markdown()


def _write_checkpoint(path: Path) -> None:
    config = PETConfig.named("tiny", n_layers=1, width=8, n_heads=1, n_classes=2)
    save_checkpoint(PET(config), path.with_suffix(".safetensors"), {"seed": 1})


def _write_card(path: Path) -> None:
    _write_checkpoint(path.with_suffix(""))
    path.with_suffix("").with_suffix(".safetensors.json").exists()


def _load_weights(path: Path) -> None:
    load_checkpoint(path)


def _write_published(path: Path) -> None:
    small = {"width": 8, "n_layers": 1, "n_heads": 2, "n_head_layers": 1}
    model = PETv2(PETv2Config(mode="pretrain", n_classes=3, n_species=9, n_extra=4, **small))
    write_published_v2(model, path)


def _write_estimator(path: Path) -> None:
    PETClassifier.untrained("tiny", random_jets(8)).save(path.parent)


def _history(path: Path) -> None:
    history = History.load(path.parent)
    history.best()
    history.column("loss")


def _write_history(path: Path) -> None:
    record = {"step": 1, "epoch": 0.5, "jets": 10, "seconds": 1.0, "loss": 0.5}
    path.write_text("".join(json.dumps({"kind": kind} | record) + "\n" for kind in ("train", "validation")))


def _progress(path: Path) -> None:
    progress = read_progress(path.parent)
    if progress is not None:
        _ = progress.fraction, progress.seconds_left


def _write_progress(path: Path) -> None:
    about = {"step": 1, "n_steps": 10, "jets": 5, "jets_per_second": 2.0, "time": 1.0}
    path.write_text(json.dumps(about))


def _received(path: Path) -> None:
    folder = path.parent / "set"
    folder.mkdir(exist_ok=True)
    (folder / "a.bin").write_bytes(b"jets")
    path.rename(folder / path.name)
    check_file("set", DataFile(name="a.bin"), Store(path.parent))


def _write_received(path: Path) -> None:
    path.write_text(json.dumps({"a.bin": {"checksum": "sha256:" + 64 * "0", "stamp": [4, 5], "url": None}}))


def _write_tar(path: Path, mode: str = "w") -> None:
    with tarfile.open(path, mode) as file:
        for name, body in {"a/b.root": b"jets" * 300, "c": b""}.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            file.addfile(member, io.BytesIO(body))


def _write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a/b.npz", b"jets" * 300)
        file.writestr("c", b"")


def _unpack(path: Path) -> None:
    store.unpack(path, path.with_name("unpacked"))


def _write_reweighter(path: Path) -> None:
    config = RatioConfig(network="mlp", hidden=(4,), training=BUDGET)
    Reweighter(config).fit(*NUMBERS).save(path.parent)


def _unfolding() -> UnfoldingResult:
    pairs = PairedSample(NUMBERS[0], NUMBERS[0] + 0.1)
    return OmniFold(OmniFoldConfig(LOGISTIC, n_iterations=1)).fit(pairs, NUMBERS[1])


def _write_scores(path: Path) -> None:
    names = ("data_scores", "background_scores", "background_weights")
    folds = {"data_folds": np.arange(4) % 2, "background_folds": np.arange(4) % 2}
    scores = {name: np.arange(1, 5) / 5 for name in names} | {"test_scores": np.ones((2, 3))}
    WeakSupervisionResult(WeakSupervisionConfig(), **scores, **folds).save(path)


def _write_batches(path: Path) -> None:
    ClassifierData(packed(4), packed(3), packed(3), ("QCD", "top")).save(path)


def _write_run(path: Path) -> Any:
    data = ClassifierData(packed(16), packed(8), packed(16), ("QCD", "top"))
    settings = ClassifierSettings(2, network="pfn", training=BUDGET)
    train_classifier(data, settings, run_directory=path.parent)


def _restore(path: Path) -> None:
    Run(path.parent, read_settings(path.with_name("config.yaml"))).restore()


def _write_figure(path: Path) -> None:
    figure = PaperFigure()
    columns = (Column("x", [1, 2]),), (Column("y", [1.0, 2.0], "GeV", {"total": [0.1, 0.2]}),)
    attach_data(figure, Table("t", *columns))
    export_figure_data(figure, path.parent)


def _omol25(path: Path) -> None:
    test_omol25.write(path, [test_omol25.row(energy=-1.0 * i) for i in range(3)])


SAMPLES: dict[str, Sample] = {
    "ml_ready": Sample("jets.h5", lambda path: write_jets(random_jets(8), path, 30), read_jets),
    "top_tagging": Sample("top.h5", lambda path: samples.write_top(path, TRUE, LABELS), _read("top_tagging")),
    "top_tagging fixed": Sample(
        "top.h5", lambda path: samples.write_top(path, TRUE, LABELS, fmt="fixed"), _read("top_tagging")
    ),
    "lhco": Sample("lhco.h5", _pandas, _read("lhco")),
    "jetclass": Sample("a.root", lambda path: samples.write_jetclass(path, TRUE, LABELS), _read("jetclass")),
    "jetclass2": Sample("QCD_0.parquet", test_jetclass2.write, _read("jetclass2")),
    "energyflow": Sample(
        "QG.npz", lambda path: samples.write_energyflow(path, TRUE, LABELS), _read("energyflow")
    ),
    "jetnet": Sample("g.h5", lambda path: samples.write_jetnet(path, TRUE), _read("jetnet")),
    "aspen": Sample("a.h5", test_aspen.write, _read("aspen")),
    "atlas_flavour": Sample("a.h5", test_atlas_flavour.write, _read("atlas_flavour")),
    "atlas_top": Sample("a.h5", test_atlas_top.write, _read("atlas_top")),
    "cms_mod": Sample("a.h5", test_cms_mod.write, _read("cms_mod")),
    "h1": Sample("Rapgap.root", test_h1.write, _read("h1")),
    "omnifold": Sample("Pythia.npz", test_omnifold.write, _read("omnifold")),
    "cosmobench": Sample("a.h5", test_cosmobench.write, read_cosmobench),
    "molecules": Sample(
        "a.npz", lambda path: write_molecules(shipped_molecules().select(np.arange(3)), path), read_molecules
    ),
    "omol25": Sample("a.aselmdb", _omol25, read_omol25),
    "own file": Sample("mine.h5", _own, lambda path: from_file(path, COLUMNS)),
    "catalogue": Sample("catalog.yaml", lambda path: path.write_text(GOOD), _catalogue),
    "profile": Sample("03_finetune_top.yaml", _write_profile, _profile),
    "column map": Sample(
        "map.yaml",
        lambda path: path.write_text(yaml.safe_dump(COLUMNS)),
        lambda path: column_map(read_settings(path)),
    ),
    "results": Sample("results.json", _write_results, _report),
    "card": Sample(
        "a.safetensors.json",
        lambda path: _write_checkpoint(path.with_suffix("")),
        lambda path: (read_card(path.with_suffix("")), load_checkpoint(path.with_suffix(""))),
    ),
    "weights": Sample("a.safetensors", _write_checkpoint, _load_weights),
    "published weights": Sample("best_model.pt", _write_published, load_published),
    "estimator": Sample("estimator.json", _write_estimator, lambda path: load_estimator(path.parent)),
    "trained weights": Sample("best.safetensors", _write_run, lambda path: load_trained(path.parent)),
    "trained settings": Sample("config.yaml", _write_run, lambda path: load_trained(path.parent)),
    "training state": Sample("last.safetensors", _write_run, _restore),
    "batches": Sample("jets.safetensors", _write_batches, ClassifierData.load),
    "reweighter": Sample("reweighter.json", _write_reweighter, lambda path: Reweighter.load(path.parent)),
    "reweighter weights": Sample(
        "network.safetensors", _write_reweighter, lambda path: Reweighter.load(path.parent)
    ),
    "weak supervision": Sample("scores.npz", _write_scores, WeakSupervisionResult.load),
    "unfolding": Sample("a.h5", lambda path: _unfolding().save(path), UnfoldingResult.load),
    "unfolded weights": Sample(
        "a.h5", lambda path: _unfolding().export_weights(path, observables={"m": NUMBERS[0]}), read_weights
    ),
    "event table": Sample("a.h5", test_atlas_omnifold.write, read_atlas_omnifold),
    "figure": Sample("submission.yaml", _write_figure, lambda path: read_figure_data(path.parent)),
    "figure table": Sample("t.yaml", _write_figure, lambda path: read_figure_data(path.parent)),
    "history": Sample("metrics.jsonl", _write_history, _history),
    "progress": Sample("progress.json", _write_progress, _progress),
    "received": Sample("received.json", _write_received, _received),
    "tar": Sample("a.tar", _write_tar, _unpack),
    "tar.gz": Sample("a.tar.gz", lambda path: _write_tar(path, "w:gz"), _unpack),
    "zip": Sample("a.zip", _write_zip, _unpack),
}
