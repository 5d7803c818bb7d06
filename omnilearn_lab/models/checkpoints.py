"""Saving and loading networks: our files (safetensors and a JSON card) and the published ones."""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from omnilearn_lab.errors import CheckpointError, ConfigError, is_file, nearest, translated
from omnilearn_lab.machine import atomic_path, make_folder, write_text
from omnilearn_lab.models.adapters import merged
from omnilearn_lab.models.sizes import check_tensors, fitting
from omnilearn_lab.settings import from_mapping, to_mapping

logger = logging.getLogger(__name__)

SHIPPED = Path(__file__).parent / "weights"
MAX_CARD = 1 << 24  # bytes
HOMES = {
    "PET": "pet",
    "PublishedPET": "published.padding",
    "PETv2": "pet_v2",
    **dict.fromkeys(("JetGenerator", "DijetClassifier", "DijetGenerator"), "dijet"),
    **dict.fromkeys(("PFN", "ParticleNet", "PlainTransformer"), "baselines"),
    **dict.fromkeys(("TrackTransformer", "TokenTransformer"), "baselines"),
}
"""Module of each network that has checkpoints."""


def save_checkpoint(
    model: nn.Module, path: str | Path, card: Mapping[str, Any] | None = None, *, half: bool = False
) -> Path:
    """Write ``path`` (safetensors) and ``path`` + ``.json`` (the card), each in one step.

    The card is inside the weights file as well: whenever writing is stopped, what is there can be read.

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
    if name not in HOMES:
        raise CheckpointError(f"cannot save a {name}; {nearest(name, HOMES)}")
    model = merged(model)
    tensors = {key: _stored(key, value, half) for key, value in model.state_dict().items()}
    check_tensors(tensors, str(path))
    full_card = {
        **(card or {}),
        "model": name,
        "config": to_mapping(model.config),
        "n_parameters": sum(p.numel() for p in model.parameters()),
        "dtype": "float16" if half else "float32",
    }
    inner = {"model": name, "card": json.dumps(full_card)}
    content = save(tensors, metadata={**inner, "sha256": _inner_digest(save(tensors), path, inner["card"])})
    make_folder(path.parent)
    with atomic_path(path) as partial:
        partial.write_bytes(content)
    write_text(_card_path(path), json.dumps({**full_card, "sha256": _digest(content)}, indent=1))
    return path


def load_checkpoint(source: str | Path, **heads: int) -> nn.Module:
    """Load a network saved by `save_checkpoint`, in evaluation mode and float32, on CPU.

    Parameters
    ----------
    source
        A ``.safetensors`` file, or the name of a shipped checkpoint (see `shipped_checkpoints`).
    **heads
        Other sizes for the heads, as ``n_classes``; the layers concerned start anew, and the log names them.

    Returns
    -------
    torch.nn.Module
        A model of the class named in the card.

    Raises
    ------
    CheckpointError
        If the file is missing or damaged, or tensors are missing, superfluous, misshaped or hold numbers that
        are not finite (all listed).
    """
    from safetensors.torch import load

    path = _resolve(source)
    with translated(CheckpointError, f"{path}: not a readable safetensors file", "get it again"):
        content = path.read_bytes()
        card, tensors = _matching_card(path, content), load(content)
    model = _build(card, tensors, path)
    assign(model, tensors, str(path))
    if heads:
        if not hasattr(model, "replace_heads"):
            raise CheckpointError(f"{path}: a {card['model']} has no heads to replace ({sorted(heads)})")
        model.replace_heads(**heads)
    return model.eval()


def assign(model: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copy tensors into a model by name; every name and shape must fit, on both sides.

    Raises
    ------
    CheckpointError
        Listing missing, superfluous and wrongly shaped tensors, and those with numbers that are not finite;
        the model is unchanged then.
    """
    own = model.state_dict()
    check_tensors(tensors, source, expected=own)
    model.load_state_dict({key: value.to(own[key].dtype) for key, value in tensors.items()})


class Transfer(NamedTuple):
    """What of a network came from a checkpoint and what starts anew: numbers of each tensor, by name."""

    taken: dict[str, int]
    new: dict[str, int]

    def __str__(self) -> str:
        taken, new = sum(self.taken.values()), sum(self.new.values())
        names = ", ".join(f"{name} ({size:,})" for name, size in self.new.items()) or "nothing"
        return f"{taken:,} of {taken + new:,} numbers taken; new: {names}"


def transfer(source: str | Path, model: nn.Module) -> Transfer:
    """Start a network from a checkpoint made for another space or task: copy what fits in name and shape.

    The last layers of the heads (``out``) always start anew: their numbers mean something else. The names of
    what starts anew are kept as ``model.fresh``: with low-rank adapters these tensors are trained, too.

    Parameters
    ----------
    source
        As for `load_checkpoint`.
    model
        A network of the same sizes, changed in place.

    Raises
    ------
    CheckpointError
        If the file cannot be read, or less than half of the network would come from it.

    Examples
    --------
    >>> from omnilearn_lab.models import PETv2, PETv2Config
    >>> haloes = {"n_features": 3, "n_coordinates": 3, "pairs": "space", "use_pair_bias": False}
    >>> model = PETv2(PETv2Config.named("tiny", mode="regression", use_local_pairs=True, **haloes))
    >>> print(transfer("v2_tiny", model))  # doctest: +ELLIPSIS
    546,395 of 547,808 numbers taken; new: body.embedding.norm_in.weight (3), ...
    """
    own = model.state_dict()
    weights = load_checkpoint(source).state_dict()
    fits = {n: value for n, value in fitting(weights, own).items() if n.split(".")[1] != "out"}
    new = {name: value.numel() for name, value in own.items() if name not in fits}
    outcome = Transfer({name: value.numel() for name, value in fits.items()}, new)
    if sum(outcome.taken.values()) < sum(new.values()):
        raise CheckpointError(f"'{source}' does not fit; use the same sizes for both networks ({outcome})")
    model.load_state_dict(own | fits)
    model.fresh = frozenset(new)
    return outcome


def read_card(source: str | Path) -> dict[str, Any]:
    """Return the JSON card beside a checkpoint (a file or the name of a shipped one)."""
    path = _card_path(_resolve(source))
    with _card_of(path):
        if path.stat().st_size > MAX_CARD:
            raise CheckpointError(f"{path}: a card of more than {MAX_CARD >> 20} MB is none")
        text = path.read_text(encoding="utf-8")
    return _parsed(text, path, {"model", "config", "sha256"})


def update_card(source: str | Path, **entries: Any) -> None:
    """Add entries to a checkpoint's card, or replace them, in one atomic step.

    Parameters
    ----------
    source
        A file, or the name of a shipped checkpoint.
    **entries
        What JSON can hold.
    """
    write_text(_card_path(_resolve(source)), json.dumps({**read_card(source), **entries}, indent=1))


def shipped_checkpoints() -> list[str]:
    """Names of the checkpoints that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def has_checkpoint(source: str | Path) -> bool:
    """Whether a checkpoint is here: shipped under this name, or a file.

    Examples
    --------
    >>> has_checkpoint("tiny"), has_checkpoint("no such file")
    (True, False)
    """
    return str(source) in shipped_checkpoints() or is_file(source)


def load_published(
    path: str | Path,
    *,
    padding: str = "published",
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
        For ``.h5``: ``"published"``, as these weights were trained, or ``"exact"`` (no padding), with which
        they lose 6 to 20 points of accuracy.
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
    if not is_file(path):
        raise CheckpointError(f"{path}: no such file")
    if path.suffix == ".pt":
        from omnilearn_lab.models.published.v2 import load_published_v2

        return load_published_v2(path, weights="ema" if ema else "live", **overrides)
    if path.suffix != ".h5":
        raise CheckpointError(f"{path}: published weights end in .h5 (OmniLearn) or .pt (OmniLearned)")
    from omnilearn_lab.models.published import PublishedPET, load_keras

    if padding not in ("exact", "published"):
        raise CheckpointError(f"padding '{padding}'; {nearest(padding, ['exact', 'published'])}")
    model = load_keras(path, ema=ema)
    if padding == "published":
        model = PublishedPET.of(model, padded_length=padded_length)
    if overrides:
        model.replace_heads(**overrides)
    return model


def _resolve(source: str | Path) -> Path:
    path = Path(source)
    shipped = SHIPPED / f"{source}.safetensors"
    if not is_file(path) and is_file(shipped):
        return shipped
    if not is_file(path):
        known = ", ".join(shipped_checkpoints()) or "none"
        raise CheckpointError(f"no checkpoint '{source}': no such file; shipped: {known}")
    return path


def _card_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _matching_card(path: Path, content: bytes) -> dict[str, Any]:
    """The card of these weights: the one beside them, or their own where writing stopped between the two."""
    inner, reason = _header(content, path)[0].get("__metadata__"), "no card beside it"
    inner = inner if isinstance(inner, dict) else {}
    if is_file(_card_path(path)) or "card" not in inner:
        card = read_card(path)
        if card["sha256"] == _digest(content):
            return card
        reason = "the card beside it is of other weights"
    if "card" not in inner or inner.get("sha256") != _inner_digest(content, path, inner["card"]):
        raise CheckpointError(f"{path}: checksum and card differ: the file is damaged, get it again")
    logger.warning("%s: %s; the card inside the file is used", path, reason)
    return _parsed(inner["card"], path, {"model", "config"})


def _parsed(text: str, path: Path, keys: set[str]) -> dict[str, Any]:
    with _card_of(path):
        card = json.loads(text)
    if not isinstance(card, dict) or not keys <= set(card):
        lacking = sorted(keys - set(card)) if isinstance(card, dict) else "every entry"
        raise CheckpointError(f"{path}: the card lacks {lacking}; get weights and card again")
    return card


def _card_of(path: Path) -> AbstractContextManager[None]:
    remedy = "a checkpoint is two files, weights and card: get both again"
    return translated(CheckpointError, f"{path}: no readable card", remedy)


def _header(content: bytes, path: Path) -> tuple[dict[str, Any], int]:
    """Header of a safetensors file, and where its numbers start."""
    start = 8 + int.from_bytes(content[:8], "little")
    with translated(CheckpointError, f"{path}: not a safetensors file", "get it again"):
        header = json.loads(content[8:start])
    return (header if isinstance(header, dict) else {}), start


def _inner_digest(content: bytes, path: Path, card: str) -> str:
    """Of all that a file holds but the digest itself: tensors, what is said of them, and the card."""
    header, start = _header(content, path)
    header.pop("__metadata__", None)
    return _digest(json.dumps([card, header], sort_keys=True).encode() + content[start:])


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _build(card: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path) -> nn.Module:
    """The network of a card, once its sizes are known to be those of the tensors."""
    name = str(card["model"])
    if name not in HOMES:
        raise CheckpointError(f"{path}: model '{name}'; {nearest(name, HOMES)}")
    module = importlib.import_module(f"omnilearn_lab.models.{HOMES[name]}")
    network, config_name = getattr(module, name), "DijetConfig" if "Dijet" in name else f"{name}Config"
    try:
        config = from_mapping(getattr(module, config_name), card["config"])
    except (ConfigError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{_card_path(path)}: {error}; get weights and card again") from error
    with translated(
        CheckpointError, f"{_card_path(path)}: no network has these settings", "get weights and card again"
    ):
        with torch.device("meta"):  # takes no memory, whatever the card says
            shapes = network(config).state_dict()
        check_tensors(tensors, str(path), expected=shapes)
        return network(config)


def _stored(name: str, value: Tensor, half: bool) -> Tensor:
    value = value.detach().cpu().contiguous()
    if not half or not value.is_floating_point():
        return value
    if value.abs().max() > torch.finfo(torch.float16).max:
        raise CheckpointError(f"tensor '{name}' does not fit float16; save it with half=False")
    return value.half()
