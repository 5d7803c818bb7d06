"""What a frozen network makes of jets, computed once, side by side on all cores."""

from __future__ import annotations

import numpy as np

from omnilearn_lab.jets import Jets
from omnilearn_lab.machine import run_jobs, usable_workers
from omnilearn_lab.models import load_checkpoint, load_published
from omnilearn_lab.tasks.common.networks import complete_batch, network_batch, network_of
from omnilearn_lab.training import default_device, embed_jets

_FEWEST = 500  # jets for which a process of its own pays


def embed(
    jets: Jets, checkpoint: str = "tiny", *, use_pid: bool = True, workers: int | None = None
) -> np.ndarray:
    """Return the numbers that enter the last layer of a pretrained network, a row per jet.

    Whatever learns from tables learns from these in seconds: heads, reweighting, unfolding, weak supervision.

    Parameters
    ----------
    jets : Jets
        Labels and weights are not looked at.
    checkpoint
        Name or path of a checkpoint of ours, or a published file.
    use_pid
        Show the network the particle species.
    workers
        Processes; all usable cores by default.

    Returns
    -------
    float32 array, shape (N, d)
    """
    n_parts = min(workers or usable_workers(), max(len(jets) // _FEWEST, 1))
    parts = np.array_split(np.arange(len(jets)), n_parts)
    jobs = {i: (jets[rows], checkpoint, use_pid) for i, rows in enumerate(parts)}
    return np.concatenate(list(run_jobs(_embed, jobs, workers=workers, progress=False).values()))


def _embed(jets: Jets, checkpoint: str, use_pid: bool) -> np.ndarray:
    is_published = checkpoint.endswith((".h5", ".pt"))
    model = (load_published if is_published else load_checkpoint)(checkpoint).to(default_device())
    inputs = "pet_v2" if network_of(checkpoint) == "pet_v2" else "pet"
    batch = network_batch(jets, inputs=inputs, use_pid=use_pid).replace(label=None, weight=None)
    return embed_jets(model, complete_batch(batch, model))
