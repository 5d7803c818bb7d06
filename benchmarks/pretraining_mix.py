"""Do further sources in the pretraining help where jets are unlike JetClass: in DIS, and in generation?

    python benchmarks/pretraining_mix.py --jets 60000 --seeds 1 2 3

``--checkpoint`` is pretrained further on equally many jets, with as many updates: of JetClass alone, and with
a tenth each from three more sources, as OmniLearned has them (arXiv:2510.24066): jets as a trigger records
them, jets of deep-inelastic scattering, and jets of small radius, a class each. Both networks are then
fine-tuned as notebooks 06 and 07 do in ``quick``, on other jets than theirs. One pretraining and one
fine-tuning of each kind per seed; a JSON line per study with mean and spread of the best validation losses,
and the mean of the differences seed by seed with its standard error. A finished pretraining is not repeated.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from omnilearn_lab.catalog import load
from omnilearn_lab.features import pet_batch
from omnilearn_lab.machine import run_jobs
from omnilearn_lab.metrics import spread
from omnilearn_lab.models import PET, Batch, load_checkpoint, save_checkpoint
from omnilearn_lab.models.checkpoints import transfer
from omnilearn_lab.notebook import load_splits, notebook_profile
from omnilearn_lab.notebook.profiles import load_generation
from omnilearn_lab.tasks.common import ClassifierData, train_classifier
from omnilearn_lab.tasks.generation import JetGeneration
from omnilearn_lab.tasks.pretraining import PretrainConfig
from omnilearn_lab.training import Trainer, select
from omnilearn_lab.training.losses import JointPretraining

SOURCES = {"aspen": "jetclass", "h1_dis": "h1", "quark_gluon": "jetclass"}  # dataset: constants of its inputs
SHARE = 0.1  # of the jets, from each further source
PRETRAINING_SEED, SIMULATION_SEED = 7, 101  # of the simulation; notebooks have 1
TRAINING = replace(PretrainConfig().training, epochs=1.0, learning_rate=1e-4)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", default="tiny")
    parser.add_argument("--jets", type=int, default=60_000)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--workers", type=int, help="one thread each; all cores by default")
    parser.add_argument("--results", type=Path, default=Path("results/pretraining_mix"))
    return parser.parse_args()


def pretraining_jets(n_jets: int, is_mixed: bool) -> tuple[Batch, int]:
    """Jets of JetClass, with a tenth each from the further sources where asked for; and how many classes."""
    n_further = int(SHARE * n_jets) if is_mixed else 0
    jets = load(
        "jetclass",
        "train",
        source="simulated",
        max_jets=n_jets - n_further * len(SOURCES),
        seed=PRETRAINING_SEED,
    )
    parts, n_classes = [pet_batch(jets)], len(jets.class_names)
    for dataset, constants in SOURCES.items() if is_mixed else ():
        more = load(dataset, "train", source="simulated", max_jets=n_further, seed=PRETRAINING_SEED)
        label = np.full(len(more), n_classes)
        parts.append(
            pet_batch(replace(more, class_names=()).with_jet(label=label), standardization=constants)
        )
        n_classes += 1
    return Batch.stack(parts), n_classes


def pretrain_further(checkpoint: str, n_jets: int, is_mixed: bool, seed: int, path: Path) -> Path:
    """Go on from a checkpoint with new output layers, and write the network."""
    if not path.is_file():
        jets, n_classes = pretraining_jets(n_jets, is_mixed)
        torch.manual_seed(seed)
        model = PET(replace(load_checkpoint(checkpoint).config, n_classes=n_classes))
        transfer(checkpoint, model)
        order = torch.randperm(len(jets))
        n_held_out = len(jets) // 20
        parts = (select(jets, order[n_held_out:]), select(jets, order[:n_held_out]))
        Trainer(model, JointPretraining(), *parts, replace(TRAINING, seed=seed)).fit()
        save_checkpoint(model, path, {"task": "pretraining: a mix", "checkpoint": checkpoint, "seed": seed})
    return path


def loss_in_dis(path: Path, profile: str, seed: int) -> float:
    """Best validation loss of notebook 06, fine-tuned from this checkpoint."""
    study = replace(notebook_profile("06_transfer_to_dis", profile), n_test=100)
    jets = load_splits("h1_dis", study, seed=SIMULATION_SEED)
    compare = replace(study.compare, checkpoint=str(path))
    data = ClassifierData.from_jets(jets, standardization="h1")
    settings = compare.classifiers(data.n_classes)["finetuned"].with_seed(seed)
    return train_classifier(data, settings).best_val_loss


def loss_of_generation(path: Path, profile: str, seed: int) -> float:
    """Best validation loss of the particles of notebook 07, fine-tuned from this checkpoint."""
    sizes = notebook_profile("07_generate_jets", profile).jetnet30
    data = load_generation("jetnet30", replace(sizes, n_test=50), source="simulated", seed=SIMULATION_SEED)
    generators = replace(sizes.generators, compare=replace(sizes.generators.compare, checkpoint=str(path)))
    config = generators.arms()["finetuned"]
    generator = JetGeneration(replace(config, particles=replace(config.particles, seed=seed)))
    generator.fit_particles(data.train, data.validation)
    return generator.histories["particles"].best()["loss"]


STUDIES = {"06 DIS": loss_in_dis, "07 generation": loss_of_generation}


def main() -> None:
    chosen = arguments()
    sys.path.append(str(Path(__file__).parents[1]))
    ours = importlib.import_module(f"benchmarks.{Path(__file__).stem}")  # the name by which workers know it
    folder = chosen.results / f"{Path(chosen.checkpoint).stem}-{chosen.jets}-jets"
    arms = {"JetClass": False, "JetClass and three more": True}
    for is_mixed in arms.values():
        pretraining_jets(chosen.jets, is_mixed)  # simulated once, before workers ask for the same files
    files = {(arm, seed): folder / f"{arm}-seed{seed}.safetensors" for arm in arms for seed in chosen.seeds}
    jobs = {key: (chosen.checkpoint, chosen.jets, arms[key[0]], key[1], path) for key, path in files.items()}
    run_jobs(ours.pretrain_further, jobs, workers=chosen.workers, progress=True, title="pretrainings")
    for study, measure in ours.STUDIES.items():
        tunings = {key: (path, chosen.profile, key[1]) for key, path in files.items()}
        losses = run_jobs(measure, tunings, workers=chosen.workers, progress=True, title=study)
        by_arm = {arm: np.array([losses[arm, seed] for seed in chosen.seeds]) for arm in arms}
        change = np.subtract(*reversed(by_arm.values()))
        line = {"study": study, "jets": chosen.jets} | {arm: str(spread(v)) for arm, v in by_arm.items()}
        line["difference"] = [float(change.mean()), float(change.std(ddof=1) / len(change) ** 0.5)]
        print(json.dumps(line, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
