"""Which peak learning rate suits each kind of training of a tagging notebook, on jets it does not use.

    python benchmarks/learning_rates.py 04_finetune_quark_gluon --rates 3e-4 1e-3 3e-3

The notebook's own sizes and settings, but another simulation seed and other training seeds; one JSON line per
rate: the best validation losses of scratch and of fine-tuned trainings. ``--batch-size`` tries another one,
``--finetuned`` other settings of the fine-tuning, side by side:

    python benchmarks/learning_rates.py 06_transfer_to_dis --rates 1e-3 --seeds 101 102 103
        --finetuned "{}" "{start_at_prior: true}" "{start_at_prior: true, head_updates: 20}"
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

import yaml
from omnilearn_lab.metrics import spread
from omnilearn_lab.notebook import load_splits, notebook_profile
from omnilearn_lab.notebook.profiles import ClassificationProfile, TaggingProfile
from omnilearn_lab.tasks.common import ClassifierData, train_classifiers

STUDIES = {  # notebook: study -> dataset, standardisation
    "03_finetune_top": {"": ("top_tagging", "jetclass")},
    "04_finetune_quark_gluon": {"": ("quark_gluon", "jetclass")},
    "05_transfer_to_full_simulation": {"cms": ("cms_open_data", "jetclass"), "atlas": ("atlas_top", "atlas")},
    "06_transfer_to_dis": {"": ("h1_dis", "h1")},
}
SIMULATION_SEED = 101
WITHOUT_SPECIES = ("03_finetune_top",)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", choices=STUDIES)
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--rates", nargs="+", type=float, default=[3e-4, 1e-3, 3e-3])
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--finetuned", nargs="+", type=yaml.safe_load, default=[{}], metavar="SETTINGS")
    parser.add_argument("--seeds", nargs="+", type=int, default=[101, 102])
    return parser.parse_args()


def profiles(notebook: str, profile: str) -> dict[str, TaggingProfile]:
    """The studies of a notebook, with hardly any test jets: only the losses are looked at."""
    names = STUDIES[notebook]
    if set(names) == {""}:
        studies = {"": notebook_profile(notebook, profile)}
    else:
        both = notebook_profile(notebook, profile)
        studies = {name: getattr(both, name) for name in names}
    return {name: replace(_tagging(study), n_test=100, others=()) for name, study in studies.items()}


def _tagging(study: TaggingProfile | ClassificationProfile) -> TaggingProfile:
    if isinstance(study, TaggingProfile):
        return study
    sizes = {name: getattr(study, name) for name in ("n_train", "n_validation", "n_test")}
    return TaggingProfile(**sizes, source=study.source, compare=study.compare)


def main() -> None:
    chosen = arguments()
    for name, study in profiles(chosen.notebook, chosen.profile).items():
        dataset, constants = STUDIES[chosen.notebook][name]
        jets = load_splits(dataset, study, seed=SIMULATION_SEED)
        use_pid = chosen.notebook not in WITHOUT_SPECIES
        data = ClassifierData.from_jets(jets, standardization=constants, use_pid=use_pid)
        for rate in chosen.rates:
            changes = {"learning_rate": rate}
            changes |= {"batch_size": chosen.batch_size, "accumulate": 1} if chosen.batch_size else {}
            both = {
                kind: replace(getattr(study.compare, kind), **changes) for kind in ("scratch", "finetuned")
            }
            arms = replace(study.compare, head=None, converged=None, **both).classifiers(data.n_classes)
            tuned = arms.pop("finetuned")
            for more in chosen.finetuned:
                arms[f"finetuned {more or ''}"] = replace(tuned, training=replace(tuned.training, **more))
            comparison = train_classifiers(data, arms, seeds=tuple(chosen.seeds))
            losses = {kind: str(spread(comparison.values(kind, "best_val_loss"))) for kind in arms}
            line = {"study": name or chosen.notebook, **changes, **losses}
            print(json.dumps(line, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
