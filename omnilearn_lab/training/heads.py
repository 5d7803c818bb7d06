"""Heads on a body: an output layer that starts at the prior, and embeddings for heads that learn alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn

from omnilearn_lab.errors import TrainingError
from omnilearn_lab.machine import StrPath, atomic_path
from omnilearn_lab.models import Batch
from omnilearn_lab.training.batches import Batches, select
from omnilearn_lab.training.history import writing
from omnilearn_lab.training.losses import Objective

_JETS_AT_ONCE = 512
_FORMAT = b"1"  # of cached embeddings


@torch.no_grad()
def output_layer(model: nn.Module, jets: Batch, *, jets_per_event: int = 1) -> str:
    """Return the name of the dense layer whose output are the logits of ``model.classify``.

    Parameters
    ----------
    model
    jets : Batch
        At least one event; the first one passes the model.
    jets_per_event

    Raises
    ------
    TrainingError
        When the logits do not come from one dense layer.

    Examples
    --------
    >>> from omnilearn_lab.models import PET, PETConfig
    >>> jets = Batch(torch.zeros(3, 13), torch.zeros(3, 2), torch.tensor([0, 3]), torch.zeros(1, 4))
    >>> output_layer(PET(PETConfig.named("tiny", n_classes=2)), jets)
    'classifier.logits'
    """
    outputs: dict[str, Tensor] = {}
    hooks = [
        layer.register_forward_hook(lambda _, __, output, name=name: outputs.update({name: output}))
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear)
    ]
    try:
        with evaluating(model):
            event = select(jets, torch.arange(jets_per_event)).to(next(model.parameters()).device)
            logits = model.classify(event).logits.flatten()
    finally:
        for hook in hooks:
            hook.remove()
    names = [n for n, v in outputs.items() if torch.equal(v.flatten().to(logits), logits)]
    if len(names) != 1:
        raise TrainingError(
            f"the logits of a {type(model).__name__} do not come from one dense layer; start_at_prior and "
            "embeddings need a network where they do"
        )
    return names[0]


@torch.no_grad()
def start_at_prior(model: nn.Module, objective: Objective, jets: Batch, *, jets_per_event: int = 1) -> str:
    """Let every prediction be the prior until the model learns: no weights in its last layer, but a bias.

    Parameters
    ----------
    model
        Changed in place.
    objective
        Its ``prior(jets, n_outputs)`` gives the logits (or numbers, in a regression), shape (C,).
    jets : Batch
        Jets with labels.
    jets_per_event

    Returns
    -------
    str
        Name of the layer.

    Raises
    ------
    TrainingError
        When the objective has no prior, or the layer no bias to hold it.

    Examples
    --------
    >>> from omnilearn_lab.models import PET, PETConfig
    >>> from omnilearn_lab.training import Classification
    >>> x = torch.randn(8, 13)
    >>> jets = Batch(x, x[:, :2], torch.arange(0, 9, 2), torch.zeros(4, 4), torch.tensor([0, 1, 1, 1]))
    >>> model = PET(PETConfig.named("tiny", n_classes=2))
    >>> start_at_prior(model, Classification(), jets)
    'classifier.logits'
    >>> model.classify(jets).logits.detach().softmax(1)[0]
    tensor([0.2500, 0.7500])
    """
    if not hasattr(objective, "prior"):
        raise TrainingError(
            f"a {type(objective).__name__} has no prior to start at: leave out start_at_prior"
        )
    name = output_layer(model, jets, jets_per_event=jets_per_event)
    layer = model.get_submodule(name)
    if layer.bias is None:
        raise TrainingError(f"'{name}' has no bias that could be the prior: leave out start_at_prior")
    layer.weight.zero_()
    layer.bias.copy_(objective.prior(jets, layer.out_features))
    return name


@torch.no_grad()
def embed_jets(
    model: nn.Module, jets: Batch, *, jets_per_event: int = 1, cache: StrPath | None = None
) -> np.ndarray:
    """Return what a network makes of each jet: the numbers that enter its last layer, one row per jet.

    A small head trained on these rows learns in seconds what the network already knows. Jets pass the network
    in batches; beside the rows, memory holds one batch.

    Parameters
    ----------
    model
        A network with ``classify``.
    jets : Batch
        Complete inputs of the network; labels and weights do not matter.
    jets_per_event
        So many jets in a row make one row of the result.
    cache
        Folder in which results are kept, by the weights of the network and the jets; it must exist.

    Returns
    -------
    float32 array, shape (B, d)

    Raises
    ------
    TrainingError
        When the network's logits do not come from one dense layer, or the cache cannot be written.

    Examples
    --------
    >>> from omnilearn_lab.models import PET, PETConfig
    >>> jets = Batch(torch.randn(6, 13), torch.randn(6, 2), torch.tensor([0, 2, 6]), torch.zeros(2, 4))
    >>> embed_jets(PET(PETConfig.named("tiny")), jets).shape
    (2, 64)
    """
    if cache is None:
        return _embed(model, jets, jets_per_event)
    path = Path(cache) / f"embedding-{_key(model, jets, jets_per_event)}.safetensors"
    try:
        return load_file(path)["rows"]
    except (OSError, SafetensorError, KeyError):  # not there, or damaged: made again
        rows = _embed(model, jets, jets_per_event)
    with writing(path), atomic_path(path) as new:
        save_file({"rows": rows}, new)
    return rows


def _embed(model: nn.Module, jets: Batch, jets_per_event: int) -> np.ndarray:
    device = next(model.parameters()).device
    name = output_layer(model, jets, jets_per_event=jets_per_event)
    rows = np.empty((len(jets) // jets_per_event, model.get_submodule(name).in_features), dtype=np.float32)
    n_done = 0
    with evaluating(model), _without(model, name):
        for batch in Batches(
            jets, max(1, _JETS_AT_ONCE // jets_per_event), jets_per_event=jets_per_event
        ).in_order():
            made = model.classify(batch.to(device)).logits.float().cpu().numpy()
            rows[n_done : n_done + len(made)] = made
            n_done += len(made)
    return rows


@contextmanager
def _without(model: nn.Module, name: str) -> Iterator[None]:
    """Inside, the layer hands on what it gets, so that the logits are the embedding."""
    layer = model.get_submodule(name)
    model.set_submodule(name, nn.Identity())
    try:
        yield
    finally:
        model.set_submodule(name, layer)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation for the block, and then where it was."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _key(model: nn.Module, jets: Batch, jets_per_event: int) -> str:
    """Digest of the weights and of everything that the network reads of the jets."""
    digest = hashlib.sha256(_FORMAT + repr((getattr(model, "config", None), jets_per_event)).encode())
    skipped = ("label", "weight", "particle_label", "particle_target")
    columns = {name: value for name, value in jets.tensors().items() if name not in skipped}
    for name, value in {**model.state_dict(), **columns}.items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:32]
