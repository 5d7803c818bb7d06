"""The ``full`` profile of every notebook, on small files in the published layout, with small sizes.

To add a notebook: write a function that puts such files below a data folder, where
``omnilearn_lab.catalog.find_published`` looks for them, and returns changes to its ``full`` profile;
name it in ``FULL``.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from omnilearn_lab import notebook
from omnilearn_lab.notebook.execute import execute_notebook, find_notebooks, notebook_map
from omnilearn_lab.notebook.hardware import Machine
from omnilearn_lab.notebook.recorded import read_results

from tests.readers.published.test_aspen import write as write_aspen
from tests.readers.published.test_atlas_flavour import write as write_flavour
from tests.readers.published.test_atlas_top import write as write_atlas
from tests.readers.published.test_cms_mod import write as write_cms
from tests.readers.published.test_h1 import write as write_h1
from tests.readers.samples import gzipped, truth, write_energyflow, write_jetclass, write_jetnet, write_top
from tests.tasks.search_files import write_aspen_jets, write_cms_qcd, write_lhco_events
from tests.tasks.small_clouds import write_zjets

FOLDER = Path(__file__).parents[1] / "notebooks"
PROFILES = Path(notebook.__file__).parent / "profiles"
TRAINING = {"epochs": 1, "batch_size": 16, "warmup_epochs": 0, "validations_per_epoch": 1}
_CMS_NAMES = {"SIM": "Jet300_pT375-infGeV", "GEN": "pT375-infGeV"}
SMALL = {"seeds": [1, 2], "scratch": TRAINING, "finetuned": TRAINING}


def finetune_top(data: Path, weights: Path) -> dict:
    """Top tagging: three pandas files, and both published networks' layouts with random weights."""
    folder = data / "top_tagging"
    folder.mkdir(parents=True)
    for seed, (split, n_jets) in enumerate({"train": 48, "val": 32, "test": 120}.items()):
        write_top(folder / f"{split}.h5", truth(n_jets, seed=seed), np.arange(n_jets) % 2)
    return {
        "compare": {"checkpoint": str(weights / "pet_v1_keras_small.weights.h5")} | SMALL,
        "compare_v2": {"checkpoint": str(weights / "pet_v2_small_pretrain.pt"), "n_train": 32} | SMALL,
        "curve": {16: 1},
    }


def observables(data: Path, weights: Path) -> dict:
    """JetClass validation jets of all classes."""
    write_jetclass_split(data, "val_5M", 200)
    return {"n_jets": 200, "n_pairs": 60, "n_bins": 10}


def pretrain(data: Path, weights: Path) -> dict:
    """JetClass and top-tagging files; the published network's layout with random weights."""
    for name, n_jets in {"train_100M_part0": 60, "val_5M": 20, "test_20M": 80}.items():
        write_jetclass_split(data, name, n_jets)
    finetune_top(data, weights)
    sizes = {"size": "tiny", "n_validation": 20, "n_test": 60, "training": TRAINING}
    return {
        "pretraining": sizes, "sizes": [30, 60], "checkpoint": str(weights / "pet_v1_keras_small.weights.h5"),
        "n_generated": 40, "n_steps": 2, "n_train": 32, "n_validation": 16, "n_test": 40,
    } | SMALL  # fmt: skip


def own_jets(data: Path, weights: Path) -> dict:
    """The training file of top tagging, from which the notebook writes a file of the reader's own."""
    folder = data / "top_tagging"
    folder.mkdir(parents=True)
    write_top(folder / "train.h5", truth(120, seed=1), np.arange(120) % 2)
    checkpoint = {"checkpoint": str(weights / "pet_v1_keras_small.weights.h5")}
    return {"n_train": 32, "n_validation": 16, "n_test": 72, "compare": checkpoint | SMALL}


def omnilearned(data: Path, weights: Path) -> dict:
    """JetClass, Aspen, top-tagging and JetNet files; the published network's layout with random weights."""
    for name, n_jets in {"train_100M_part0": 120, "val_5M": 40, "test_20M": 80}.items():
        write_jetclass_split(data, name, n_jets)
    finetune_top(data, weights)
    (data / "aspen").mkdir()
    write_aspen(data / "aspen" / "RunG_batch0.h5")
    write_jetnet_classes(data / "jetnet30", "", 30)
    trainings = {"scratch": TRAINING, "finetuned": TRAINING}
    jets = {"size": "tiny", "n_train": 120, "n_validation": 40, "n_test": 80, "training": TRAINING}
    objectives = {"seeds": [1], "sizes": {16: 1}, "training": TRAINING, "generation": TRAINING}
    objectives |= {"pretraining": jets | {"changes": {"width": 16, "n_layers": 1, "n_heads": 2}}}
    objectives |= {"tokens": jets | {"changes": {"n_codes": 64}}, "sampler": {"n_steps": 1}}
    small = {"size": "tiny", "base": {"width": 16, "n_layers": 1, "n_heads": 2}, "seeds": [1]}
    return {
        "n_train": 120, "n_validation": 40, "n_test": 80, "n_data": 8, "n_top": 32, "n_top_test": 32,
        "n_top_table": 32, "sizes": ["tiny"],
        "table": trainings | {"seeds": [1], "checkpoint": str(weights / "pet_v2_small_pretrain.pt")},
        "ablation": small | {"pet": {"width": 16, "n_layers": 1, "n_heads": 2}, "training": TRAINING},
        "classes": small | {"n_pretrain": 16, "pretraining": TRAINING} | trainings,
        "objectives": objectives, "jetnet": {"n_train": 48, "n_validation": 16, "n_test": 16},
    }  # fmt: skip


def flavour(data: Path, weights: Path) -> dict:
    """One file of open data with GN2's scores, and the published network's layout with random weights."""
    (data / "atlas_flavour").mkdir(parents=True)
    labels = np.resize([0, 4, 5, 15], 400)
    write_flavour(data / "atlas_flavour" / "mc-flavtag-ttbar-small.h5", labels)
    return {
        "n_train": 64, "n_validation": 20, "n_test": 40, "seeds": [1],
        "size": "tiny", "baseline_size": "tiny",
        "checkpoint": str(weights / "pet_v2_small_pretrain.pt"), "scratch": TRAINING, "finetuned": TRAINING,
    }  # fmt: skip


def quark_gluon(data: Path, weights: Path) -> dict:
    """One npz file per split, and one of Herwig's test jets."""
    folder = data / "quark_gluon"
    folder.mkdir(parents=True)
    files = {"QG_jets": 48, "QG_jets_16": 24, "QG_jets_18": 100, "QG_jets_herwig_18": 60}
    for seed, (name, n_jets) in enumerate(files.items()):
        write_energyflow(folder / f"{name}.npz", truth(n_jets, seed=seed), np.arange(n_jets) % 2)
    networks = {"PFN": "pfn", "ParticleNet": "particle_net", "transformer": "transformer"}
    settings = {"n_classes": 2, "size": "paper", "training": TRAINING}
    baselines = [{"name": k, "settings": settings | {"network": v}} for k, v in networks.items()]
    checkpoint = {"checkpoint": str(weights / "pet_v1_keras_small.weights.h5")}
    return {"compare": checkpoint | SMALL, "baselines": baselines}


def full_simulation(data: Path, weights: Path) -> dict:
    """CMS files of simulated and generator jets, of which each split takes a part; weighted ATLAS files."""
    for name in ("cms_open_data", "atlas_top"):
        (data / name).mkdir(parents=True)
    for level, stored in {"SIM": "pfcs", "GEN": "gens"}.items():
        for i in range(12):
            path = data / "cms_open_data" / f"{level}300_{_CMS_NAMES[level]}_{i}_compressed.h5"
            with h5py.File(write_cms(path, true=truth(seed=i), stored=stored), "r+") as file:
                column = file["jets_i"].attrs["cols"].tolist().index(b"hard_pid")
                file["jets_i"][-1, column] = (1, 21)[i % 2]  # the last jet alone goes to the test split
    for name in ("train_nominal_000", "train_nominal_001", "train_nominal_836", "test_nominal_000"):
        path, pt = data / "atlas_top" / f"{name}.h5", np.linspace(4e5, 3e6, 12)  # MeV, as hard as ATLAS's
        gzipped(write_atlas(path, "training_weights", fjet_pt=pt))
    checkpoint = {"checkpoint": str(weights / "pet_v1_keras_small.weights.h5")}
    return {
        "cms": {"compare": checkpoint | SMALL},
        "atlas": {"compare": checkpoint | SMALL, "curve": {12: 2, 24: 1}},
    }


def deep_inelastic(data: Path, weights: Path) -> dict:
    """H1 minitrees of both generators in the folder of each split."""
    for split in ("train", "val", "test"):
        (data / "h1_dis" / split).mkdir(parents=True)
        for name in ("Django", "Rapgap"):
            for i in range(3):
                write_h1(data / "h1_dis" / split / f"{name}_Eplus0607_{i}.root", name)
    checkpoint = {"checkpoint": str(weights / "pet_v1_keras_small.weights.h5")}
    return {"compare": checkpoint | SMALL}


def write_jetclass_split(data: Path, name: str, n_jets: int) -> None:
    """One file per split, in the folder that the archive is unpacked into."""
    folder = data / "jetclass" / f"JetClass_Pythia_{name}"
    folder.mkdir(parents=True)
    write_jetclass(folder / "mixed_000.root", truth(n_jets, seed=len(name)), np.arange(n_jets) % 10)


def reweight(data: Path, weights: Path) -> dict:
    """Z + jets of both generators, train and test files."""
    write_both_generators(data, (0, 15))
    trainings = {"checkpoint": str(weights / "pet_v1_keras_small.weights.h5")} | SMALL
    return {"n_train": 40, "n_test": 60, "n_bins": 8, "compare": trainings}


def unfold(data: Path, weights: Path) -> dict:
    """Z + jets of both generators; deep-inelastic events are simulated in every profile."""
    write_both_generators(data, (0, 15))
    clouds = {"checkpoint": str(weights / "pet_v1_keras_small.weights.h5")} | SMALL | {"seeds": [1]}
    tables = {"network": "mlp", "hidden": [8], "training": TRAINING}
    sizes = {"n_iterations": 1, "later_epochs": 1, "later_table_epochs": 1, "n_bootstrap": 2}
    methods = sizes | {"clouds": clouds, "tables": tables}
    return {"n_events": 50, "n_truth": 50, "n_bins": 8, "n_dis": 60, "dis": TRAINING, "methods": methods}


def write_both_generators(data: Path, numbers: tuple[int, ...]) -> None:
    folder = data / "omnifold_zjets"
    folder.mkdir(parents=True)
    for seed, name in enumerate(("Pythia21", "Herwig")):
        for number in numbers:
            path = folder / f"{name}_Zjet_pTZ-200GeV_{number}.npz"
            write_zjets(path, 60, seed=seed + number, spread=0.1 + 0.05 * seed)


def write_jetnet_classes(folder: Path, ending: str, slots: int) -> None:
    """One HDF5 file for each of five classes."""
    folder.mkdir(parents=True)
    for seed, letter in enumerate("gqtwz"):
        path, true = folder / f"{letter}{ending}.hdf5", truth(150, seed=seed, massless=True)
        write_jetnet(path, true, slots=slots, pt_scale=1000 / true.jet()["pt"])


def generate_jets(data: Path, weights: Path) -> dict:
    """JetNet with 30 and 150 particles."""
    write_jetnet_classes(data / "jetnet30", "", 30)
    write_jetnet_classes(data / "jetnet150", "150", 150)
    first_stage = {"kinematics": TRAINING, "kinematics_width": 16, "sampler": {"n_steps": 1}}
    compare = {"checkpoint": str(weights / "pet_v1_keras_small.weights.h5")} | SMALL
    scores = {"sampling": {"n_jets": 50, "n_batches": 2}, "coverage": {"n_jets": 4, "n_batches": 2}}
    generators = {"compare": compare, "generation": first_stage, "scores": scores}
    sizes = {"n_train": 60, "n_validation": 20, "n_test": 100, "generators": generators}
    studies = {"n_study": 8, "n_guidance": 12, "published_steps": 4, "guidance": [0.0, 1.0]}
    student = {"n_steps": 2, "n_substeps": 1, "training": TRAINING}
    return {"jetnet30": sizes, "jetnet150": sizes, "samplers": [{"n_steps": 2}], "distill": student} | studies


def dijet_anomaly(data: Path, weights: Path) -> dict:
    """The LHC Olympics R&D events as one frame, and the published network's layout with random weights."""
    (data / "lhco").mkdir(parents=True)
    write_lhco_events(data / "lhco" / "events_anomalydetection_v2.h5")
    checkpoint = str(weights / "pet_v1_keras_small.weights.h5")
    stage = {"epochs": 1, "batch_size": 32, "validations_per_epoch": 1, "warmup_epochs": 0}
    network = {"n_jet_layers": 1}
    particles = {"checkpoint": checkpoint, "standardization": "lhco", "particles": stage}
    return {
        "max_particles": 12, "n_generated": 24, "injections": [0, 5],
        "scan": {"n_data": 20, "n_reference": 20, "injections": [0, 5], "min_background": 2,
                 "network": network, "compare": {"checkpoint": checkpoint} | SMALL},
        "generator": {"kinematics": stage, "kinematics_sampler": {"n_steps": 1},
                      "particles": particles | {"sampler": {"n_steps": 1}}},
        "search": {
            "weak": {"n_folds": 2, "network": {"init": checkpoint} | network, "training": TRAINING},
            "kept": [1.0], "fit": {"function": "dijet3", "n_bins": 9, "limits": [2300.0, 5000.0]},
        },
    }  # fmt: skip


def open_data_anomaly(data: Path, weights: Path) -> dict:
    """Collision data without labels, and simulated QCD jets in the folder of the portal's files."""
    (data / "aspen").mkdir(parents=True)
    (data / "cms_qcd" / "train").mkdir(parents=True)
    write_aspen_jets(data / "aspen" / "RunG_batch0.h5", 300, seed=1)
    write_cms_qcd(data / "cms_qcd" / "train" / "train_0.h5", 210, seed=2)
    checkpoint = str(weights / "pet_v1_keras_small.weights.h5")
    return {
        "n_jets": 420, "checkpoint": checkpoint,
        "search": {
            "kept": [0.6],
            "fit": {"function": "log_polynomial2", "n_bins": 8, "limits": [100.0, 260.0]},
            "weak": {"n_folds": 2, "network": {"jets_per_event": 1, "use_pid": True}},
            "compare": {"checkpoint": checkpoint} | SMALL,
        },
    }  # fmt: skip


FULL = {"03_finetune_top": finetune_top, "04_finetune_quark_gluon": quark_gluon}
FULL |= {"05_transfer_to_full_simulation": full_simulation, "06_transfer_to_dis": deep_inelastic}
FULL |= {"01_jets_and_observables": observables, "11_omnilearned": omnilearned, "12_flavour_tagging": flavour}
FULL |= {"07_generate_jets": generate_jets}
FULL |= {"08_reweight": reweight, "09_unfold": unfold}
FULL |= {"02_pretrain": pretrain, "14_your_own_jets": own_jets}
FULL |= {"10_anomaly_weak_supervision": dijet_anomaly, "13_anomaly_open_data": open_data_anomaly}
PARTLY_SIMULATED = {"01_jets_and_observables"}  # jets at two levels are simulated in every profile

NOT_RUN = {
    "00_start_here": "looks at simulated jets in every profile, so smoke runs the same path",
    "17_hadronic_taus": "simulates in every profile, so smoke runs the same path",
    "15_haloes": "simulates its universes in every profile, so smoke runs the same path",
    "16_molecules": "its molecules are shipped or made, so smoke runs the same path",
}


def test_every_full_profile_is_run():
    """A notebook whose ``full`` may read something published is in ``FULL``."""
    files = {path.stem: path for path in PROFILES.glob("*.yaml")}
    profiles = {name: yaml.safe_load(path.read_text(encoding="utf-8")) for name, path in files.items()}
    assert profiles.keys() == find_notebooks(FOLDER).keys()
    with_full = {name for name, table in profiles.items() if "full" in table}
    assert sorted(with_full) == sorted([*FULL, *NOT_RUN])
    for name in NOT_RUN:
        full, smoke = profiles[name]["full"], profiles[name]["smoke"]
        assert full.keys() == smoke.keys(), f"{name}: full has settings that smoke does not try"
        assert not {"source", "checkpoint"} & full.keys(), f"{name}: full reads something published"
    reads = {name for name, entry in notebook_map(Machine("", 1, 8.0)).entries.items() if entry.datasets}
    assert sorted(reads) == sorted(FULL), "the map of notebooks says otherwise"


@pytest.mark.nb
@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_full_runs_on_published_files(name, tmp_path, monkeypatch, shared_fixtures):
    changes = FULL[name](tmp_path / "data", shared_fixtures)
    (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({"full": changes}))
    monkeypatch.setenv("OMNILEARN_LAB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("OMNILEARN_LAB_PROFILES", str(tmp_path))
    monkeypatch.setenv("OMNILEARN_LAB_RESULTS", str(tmp_path / "results"))
    done = execute_notebook(name, "full", folder=FOLDER, progress=False)
    found = read_results(done.directory)
    assert (found.profile, found.source) == ("full", "published")
    assert found.comparisons or found.numbers
    assert name in PARTLY_SIMULATED or not (tmp_path / "data" / "simulated").exists(), "a run simulated jets"
