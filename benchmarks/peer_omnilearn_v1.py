"""PET beside the published TensorFlow program and our baselines: same jets, equal sizes, measured in turns.

The program of OmniLearn (``scripts/PET.py`` of its repository) is no package; it runs with Keras 2:

    git clone https://github.com/ViniciusMikuni/OmniLearn
    python3.11 -m venv tf && tf/bin/pip install tensorflow-cpu==2.15.1 "numpy<2"
    python benchmarks/peer_omnilearn_v1.py --peer tf/bin/python --code OmniLearn/scripts --threads 1,2

It is measured as a graph (``tf.function``) with XLA off and on, its body and classifier head alone: without
the metrics and weight averages of its own training loop. Beside it: `PET` with its weights, once more with
its padding (only that one can give the same outputs), and `ParticleNet` and `PlainTransformer` with as many
parameters. Jets are padded to 128 particles for it, as it needs them.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from peer_omnilearned import (
    SLOTS,
    Row,
    answer,
    arguments,
    measure,
    our_tasks,
    peer,
    program,
    realistic_jets,
    report,
)

if TYPE_CHECKING:
    import torch

WAYS = ("fp32", "fp32 XLA")
N_FEATURES, N_JET, N_CLASSES = 13, 4, 2
SIZES = {
    "tiny": {"projection_dim": 64, "num_layers": 4, "num_heads": 4},
    "small": {"projection_dim": 128, "num_layers": 8, "num_heads": 4},
}
EQUAL = {  # sizes of our baselines with as many parameters, within 5 %
    "tiny": {"widths": (64, 128, 192), "transformer": {"width": 64, "n_layers": 5, "n_heads": 4}},
    "small": {"widths": (160, 320, 512), "transformer": {"width": 128, "n_layers": 8, "n_heads": 4}},
}


def serve(folder: Path) -> None:
    """The published program, in the other environment."""
    settings = json.loads((folder / "settings.json").read_text())
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.path.insert(0, settings["code"])
    import tensorflow as tf
    from PET import PET

    tf.config.threading.set_intra_op_parallelism_threads(settings["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(settings["threads"])
    sizes = SIZES[settings["size"]]
    model = PET(N_FEATURES, N_JET, N_CLASSES, mode="classifier", feature_drop=0.0, **sizes)
    warnings.simplefilter("ignore")  # the averages of weights are not in this file
    model.load_weights(folder / "model.weights.h5", skip_mismatch=True)
    parts = (model.body, model.classifier_head)
    sys.stderr.write(f"OmniLearn: {sum(part.count_params() for part in parts):,} parameters\n")
    held = np.load(folder / "jets.npz")
    weights = [variable for part in parts for variable in part.trainable_variables]

    def make(way: str, n_jets: int) -> dict[str, Callable]:
        x, mask, jet, y = (tf.constant(held[name][:n_jets]) for name in ("x", "mask", "jet", "y"))
        inputs = [x, x[..., :2], tf.cast(mask, tf.float32)[..., None], tf.zeros((n_jets, 1))]
        optimizer = tf.keras.optimizers.AdamW(learning_rate=0.0)
        optimizer.build(weights)
        graph = partial(tf.function, autograph=False, jit_compile=way.endswith("XLA"))

        def infer() -> tf.Tensor:  # not told of training, as in its own loop: its drops are never active
            return parts[1]([parts[0](inputs), jet])[0]

        def train() -> tf.Tensor:
            with tf.GradientTape() as tape:
                logits = infer()
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
                loss = tf.reduce_mean(losses)
            gradients = tape.gradient(loss, weights, unconnected_gradients="zero")
            optimizer.apply_gradients(zip(gradients, weights, strict=True))
            return logits

        return {"infer": graph(infer), "train": graph(train)}

    answer({way: program(partial(make, way)) for way in WAYS})


def compare(options: object) -> list[Row]:
    """Measure the published program and ours."""
    import torch

    held = realistic_jets(max(options.jets), n_features=N_FEATURES)
    held["jet"] = np.random.default_rng(1).normal(0, 1, (len(held["x"]), N_JET)).astype(np.float32)
    rows = []
    for threads in options.threads:
        torch.set_num_threads(threads)
        with tempfile.TemporaryDirectory() as name:
            networks = prepare(Path(name), held, options, threads)
            command = [options.peer, str(Path(__file__).resolve()), "--serve", name]
            with peer(command, WAYS) as theirs:
                for n_jets in options.jets:
                    programs = {f"OmniLearn {way}": run for way, run in theirs.items()}
                    for label, model in networks.items():
                        programs[label] = program(partial(our_tasks, model, held, False))
                    chosen = {"repeats": options.repeats, "clock": options.clock, "threads": threads}
                    rows += measure(programs, n_jets, others=list(networks)[2:], **chosen)
    return rows


def prepare(folder: Path, held: dict, options: object, threads: int) -> dict[str, torch.nn.Module]:
    """Make our networks and hand over the weights, the jets and the settings."""
    import torch
    from omnilearn_lab.machine import reuse_memory
    from omnilearn_lab.models import (
        PET,
        ParticleNet,
        ParticleNetConfig,
        PETConfig,
        PlainTransformer,
        PlainTransformerConfig,
    )
    from omnilearn_lab.models.published import PublishedPET
    from omnilearn_lab.models.published.v1 import save_keras

    reuse_memory()  # as our trainings do
    torch.manual_seed(0)
    drops = {"feature_drop": 0.0, "label_drop": 0.0}
    pet = PET(PETConfig.named(options.size, n_classes=N_CLASSES, class_token="zero", **drops))
    save_keras(pet, folder / "model.weights.h5")
    np.savez(folder / "jets.npz", **held)
    settings = {"size": options.size, "threads": threads, "code": str(options.code.resolve())}
    (folder / "settings.json").write_text(json.dumps(settings))
    equal = EQUAL[options.size]
    networks = {
        "PET": pet,
        "PET, its padding": PublishedPET.of(pet, padded_length=SLOTS),
        "ParticleNet": ParticleNet(ParticleNetConfig(n_classes=N_CLASSES, widths=equal["widths"])),
        "PlainTransformer": PlainTransformer(
            PlainTransformerConfig(n_classes=N_CLASSES, **equal["transformer"])
        ),
    }
    for label, network in networks.items():
        parts = dict(network.named_children())
        parts.pop("generator", None)  # takes no part in these tasks
        n_parameters = sum(p.numel() for part in parts.values() for p in part.parameters())
        sys.stderr.write(f"{label}: {n_parameters:,} parameters\n")
    return networks


def main() -> None:
    parser = arguments(__doc__.splitlines()[0], "interpreter with TensorFlow 2.14 or 2.15")
    parser.add_argument("--code", type=Path, metavar="FOLDER", help="with the PET.py of OmniLearn")
    parser.add_argument("--size", choices=SIZES, default="small")
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    if not options.peer or not options.code:
        parser.error("give --peer, with TensorFlow, and --code, the folder of OmniLearn's PET.py")
    report(compare(options), options.out)


if __name__ == "__main__":
    main()
