"""Saving and loading networks: our files (safetensors and a JSON card) and the published ones."""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from omnilearn_lab.errors import CheckpointError, ConfigError, nearest
from omnilearn_lab.models.adapters import merged
from omnilearn_lab.settings import from_mapping, to_mapping


logger = logging.getLogger(__name__)

SHIPPED = Path(__file__).parent / "weights"
MODELS = {
    "PET": ("omnilearn_lab.models.pet", "PET", "PETConfig"),
    "PETv2": ("omnilearn_lab.models.pet_v2", "PETv2", "PETv2Config"),
    "JetGenerator": ("omnilearn_lab.models.jet_generator", "JetGenerator", "JetGeneratorConfig"),
    "DijetClassifier": ("omnilearn_lab.models.dijet", "DijetClassifier", "DijetConfig"),
    "PFN": ("omnilearn_lab.models.baselines.pfn", "PFN", "PFNConfig"),
    "ParticleNet": ("omnilearn_lab.models.baselines.particle_net", "ParticleNet", "ParticleNetConfig"),
    "PlainTransformer": (
        "omnilearn_lab.models.baselines.transformer",
        "PlainTransformer",
        "PlainTransformerConfig",
    ),
    "DijetGenerator": ("omnilearn_lab.models.dijet", "DijetGenerator", "DijetConfig"),
}


def save_checkpoint(
    model: nn.Module,
    path: str | Path,
    card: Mapping[str, Any] | None = None,
    *,
    half: bool = False,
) -> Path:
    """Write ``path`` (safetensors) and ``path`` + ``.json`` (the card), each atomically.

    Parameters
    ----------
    model
        A network of this package; adapters are merged into the weights of the file.
    path
        File to write, ending in ``.safetensors``.
    card
        What a reader should know: data, seeds, training, metrics. The class, configuration, number of
        parameters, number format and checksum are added.
    half
        Store float16 (half the size; rounds to three digits).

    Returns
    -------
    Path
        The weights file.

    Raises
    ------
    CheckpointError
        If the class of the model is unknown or its weights do not fit float16.

    Examples
    --------
    >>> import tempfile
    >>> from omnilearn_lab.models import PET, PETConfig
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_checkpoint(PET(PETConfig.named("tiny")), Path(folder) / "a.safetensors", {"seed": 1})
    ...     read_card(path)["seed"], load_checkpoint(path, n_classes=2).config.n_classes
    (1, 2)
    """
    from safetensors.torch import save

    path = Path(path)
    name = type(model).__name__
    if name not in MODELS:
        raise CheckpointError(f"cannot save a {name}; {nearest(name, MODELS)}")
    model = merged(model)
    tensors = {key: _stored(key, value, half) for key, value in model.state_dict().items()}
    content = save(tensors, metadata={"model": name})
    full_card = {
        **(card or {}),
        "model": name,
        "config": to_mapping(model.config),
        "n_parameters": sum(p.numel() for p in model.parameters()),
        "dtype": "float16" if half else "float32",
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, content)
    _write(_card_path(path), json.dumps(full_card, indent=1).encode())
    return path


def load_checkpoint(
    source: str | Path, *, n_classes: int | None = None, n_jet_features: int | None = None
) -> nn.Module:
    """Load a network saved by `save_checkpoint`, in evaluation mode and float32, on CPU.

    Parameters
    ----------
    source
        A ``.safetensors`` file, or the name of a shipped checkpoint (see `shipped_checkpoints`).
    n_classes, n_jet_features
        Other sizes for the heads; the layers concerned start anew, and the log names them.

    Returns
    -------
    torch.nn.Module
        A model of the class named in the card.

    Raises
    ------
    CheckpointError
        If the file is missing or damaged, or tensors are missing, superfluous or misshaped (all listed).
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = _resolve(source)
    card, content = read_card(path), path.read_bytes()
    if hashlib.sha256(content).hexdigest() != card.get("sha256"):
        raise CheckpointError(f"{path}: checksum and card differ: the file is damaged, get it again")
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a safetensors file ({error})") from error
    model = _build(card, path)
    assign(model, tensors, str(path))
    changes = {"n_classes": n_classes, "n_jet_features": n_jet_features}
    changes = {key: value for key, value in changes.items() if value is not None}
    if changes:
        if not hasattr(model, "replace_heads"):
            raise CheckpointError(f"{path}: a {card['model']} has no heads to replace ({sorted(changes)})")
        model.replace_heads(**changes)
    return model.eval()


def assign(model: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copy tensors into a model by name; every name and shape must fit, on both sides.

    Raises
    ------
    CheckpointError
        Listing missing, superfluous and wrongly shaped tensors; the model is unchanged then.
    """
    own = model.state_dict()
    missing, extra = sorted(set(own) - set(tensors)), sorted(set(tensors) - set(own))
    wrong = [
        f"{key}: {tuple(tensors[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in tensors and tensors[key].shape != own[key].shape
    ]
    if missing or extra or wrong:
        raise CheckpointError(f"{source}: missing {missing}, not expected {extra}, wrong shape {wrong}")
    model.load_state_dict({key: value.to(own[key].dtype) for key, value in tensors.items()})


def read_card(source: str | Path) -> dict[str, Any]:
    """Return the JSON card beside a checkpoint (a file or the name of a shipped one)."""
    path = _card_path(_resolve(source))
    try:
        card = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: no readable card ({error}); a checkpoint is two files") from error
    if not isinstance(card, dict) or not {"model", "config", "sha256"} <= set(card):
        raise CheckpointError(f"{path}: the card lacks one of 'model', 'config', 'sha256'")
    return card


def update_card(source: str | Path, **entries: Any) -> None:
    """Add entries to a checkpoint's card, or replace them, in one atomic step.

    Parameters
    ----------
    source
        A file, or the name of a shipped checkpoint.
    **entries
        What JSON can hold.
    """
    _write(_card_path(_resolve(source)), json.dumps({**read_card(source), **entries}, indent=1).encode())


def shipped_checkpoints() -> list[str]:
    """Names of the checkpoints that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def load_published(
    path: str | Path,
    *,
    padding: str = "exact",
    padded_length: int = 150,
    ema: bool = False,
    **overrides: Any,
) -> nn.Module:
    """Load published weights: OmniLearn's ``*.weights.h5`` or OmniLearned's ``best_model_*.pt``.

    Parameters
    ----------
    path
        The file. A ``.pt`` file is read as tensors only; nothing in it is executed.
    padding
        For ``.h5``: ``"exact"`` (no padding) or ``"published"``, which reproduces the original's numbers.
    padded_length
        P of ``padding="published"``: 150 for JetClass.
    ema
        Take the averaged weights of body and generator.
    **overrides
        For ``.h5``: ``n_classes``, ``n_jet_features``, other sizes of the heads (re-initialised, and logged).
        For ``.pt``: ``n_heads``, where no shape tells it.

    Returns
    -------
    torch.nn.Module
        `PET`, `PublishedPET` or `PETv2`, in evaluation mode.

    Raises
    ------
    CheckpointError
        If the file cannot be read or does not fit (all tensors concerned are listed).
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    if path.suffix == ".pt":
        module = importlib.import_module("omnilearn_lab.models.published_v2")
        return module.load_published_v2(path, weights="ema" if ema else "live", **overrides)
    if path.suffix != ".h5":
        raise CheckpointError(f"{path}: published weights end in .h5 (OmniLearn) or .pt (OmniLearned)")
    return _load_keras(path, padding, padded_length, ema, overrides)


def _load_keras(
    path: Path, padding: str, padded_length: int, ema: bool, heads: Mapping[str, int]
) -> nn.Module:
    from omnilearn_lab.models.published_padding import PublishedPET
    from omnilearn_lab.models.published_v1 import load_keras

    if padding not in ("exact", "published"):
        raise CheckpointError(f"padding '{padding}'; {nearest(padding, ['exact', 'published'])}")
    model = load_keras(path, ema=ema)
    if heads:
        model.replace_heads(**heads)
    return model if padding == "exact" else PublishedPET(model, padded_length=padded_length).eval()


def _resolve(source: str | Path) -> Path:
    path = Path(source)
    shipped = SHIPPED / f"{source}.safetensors"
    if not path.is_file() and shipped.is_file():
        return shipped
    if not path.is_file():
        known = ", ".join(shipped_checkpoints()) or "none"
        raise CheckpointError(f"no checkpoint '{source}': no such file; shipped: {known}")
    return path


def _card_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _build(card: Mapping[str, Any], path: Path) -> nn.Module:
    if card["model"] not in MODELS:
        raise CheckpointError(f"{path}: model '{card['model']}'; {nearest(card['model'], MODELS)}")
    module_name, model_name, config_name = MODELS[card["model"]]
    module = importlib.import_module(module_name)
    try:
        config = from_mapping(getattr(module, config_name), card["config"])
    except (ConfigError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{_card_path(path)}: {error}") from error
    return getattr(module, model_name)(config)


def _stored(name: str, value: Tensor, half: bool) -> Tensor:
    value = value.detach().cpu().contiguous()
    if not half or not value.is_floating_point():
        return value
    if value.abs().max() > torch.finfo(torch.float16).max:
        raise CheckpointError(f"tensor '{name}' does not fit float16; save it with half=False")
    return value.half()


def _write(path: Path, content: bytes) -> None:
    """Write a temporary file beside the target, then rename it."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
