"""Checkpoints of the published OmniLearned program (``best_model_*.pt``): read into PETv2, and written back.

The file holds one dictionary of tensors per part: ``body``, ``classifier_head``, ``generator_head``, and
averaged copies ``ema_body``, ``ema_generator``. It is read with ``weights_only=True``: nothing in it is
executed.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from omnilearn_lab.errors import CheckpointError, nearest
from omnilearn_lab.machine import atomic_path
from omnilearn_lab.models.pet_v2 import PETv2, PETv2Config
from omnilearn_lab.models.sizes import check_tensors

logger = logging.getLogger(__name__)

WEIGHTS = ("live", "ema")
PARTS = {"body": "body", "classifier": "classifier_head", "generator": "generator_head"}
EMA_PARTS = {"body": "ema_body", "generator": "ema_generator"}  # the classifier has no averaged copy
# our name -> published name, in this order
RENAMED = (
    (r"^(body|classifier|generator)\.", r"\1/"),
    (r"^body/embedding\.norm_in\.", "body/embed.norm."),
    (r"^body/embedding\.", "body/embed.mlp."),
    (r"^body/pair_bias\.", "body/interaction."),
    (r"^body/local\.", "body/local_physics."),
    (r"^body/condition\.", "body/cond_embed.0."),
    (r"^body/time\.mlp\.", "body/time_embed."),
    (r"^body/time\.frequencies$", "body/MPFourier.freqs"),
    (r"^body/time\.phases$", "body/MPFourier.phases"),
    (r"^body/extra\.", "body/add_embed.0."),
    (r"^body/species\.", "body/pid_embed.0."),
    (r"^generator/label\.", "generator/pid_embed.0."),
    (r"^generator/label_mlp\.", "generator/pid_embed.1."),
    (r"^generator/mlp\.", "generator/fc.0."),
    (r"^classifier/mlp\.", "classifier/fc."),
    (r"^(classifier/blocks\.\d+)\.mlp\.norm_in\.", r"\1.norm."),
    (r"blocks\.(\d+)\.norm\.(?=alpha|weight)", r"blocks.\1.norm1."),
    (r"^(classifier/blocks\.\d+)\.norm1\.", r"\1.norm."),
    (r"\.mlp\.norm_in\.", ".norm2."),
    (r"blocks\.", "in_blocks."),
    (r"\.attention\.qkv\.weight$", ".attn.in_proj_weight"),
    (r"\.attention\.out\.", ".attn.out_proj."),
    (r"\.first\.", ".fc1."),
    (r"\.second\.", ".fc2."),
)


def published_name(name: str) -> tuple[str, str]:
    """Translate the name of a PETv2 tensor to the part and name of the published layout.

    Examples
    --------
    >>> published_name("body.local.blocks.0.attention.qkv.weight")
    ('body', 'local_physics.in_blocks.0.attn.in_proj_weight')
    """
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    part, _, rest = name.partition("/")
    return part, rest


def read_published_v2(path: str | Path) -> dict[str, Any]:
    """Read a published checkpoint; tensors and plain values only.

    Raises
    ------
    CheckpointError
        When the file cannot be read, holds more than tensors, or is not a checkpoint of OmniLearned.
    """
    try:
        content = torch.load(Path(path), map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no checkpoint at {path}: check the path") from error
    except Exception as error:  # what PyTorch says here would advise to run the code in the file
        raise CheckpointError(
            f"{path} is no readable checkpoint ({type(error).__name__}): damaged, truncated, a web page, or "
            "it holds code (never executed). Download it again"
        ) from error
    if not isinstance(content, Mapping) or not isinstance(content.get("body"), Mapping):
        raise CheckpointError(f"{path} has no part 'body': it is not a checkpoint of OmniLearned")
    parts = [content.get(name) for name in (*PARTS.values(), *EMA_PARTS.values())]
    values = [value for part in parts if isinstance(part, Mapping) for value in part.values()]
    if not all(isinstance(value, Tensor) and value.layout == torch.strided for value in values):
        raise CheckpointError(
            f"{path} holds something else than tensors: it is not a checkpoint of OmniLearned"
        )
    if sum(value.nbytes for value in values) > 2 * Path(path).stat().st_size:
        raise CheckpointError(f"{path} says of its tensors that they are larger than the file: get it again")
    return dict(content)


def infer_config(checkpoint: Mapping[str, Any], *, n_heads: int | None = None) -> PETv2Config:
    """Work out sizes and mode from the shapes of the tensors.

    Parameters
    ----------
    checkpoint
        As `read_published_v2` returns it.
    n_heads
        Heads H: no shape tells it without pair bias; None: from the bias, or that of the named size.

    Raises
    ------
    CheckpointError
        When a tensor that tells a size is missing, or the heads are not known.
    """
    body = checkpoint["body"]
    classifier, generator = checkpoint.get("classifier_head") or {}, checkpoint.get("generator_head") or {}
    _, n_tokens, width = _shape(body, "token")
    hidden, n_local = _shape(body, "local_physics.mlp.fc1.weight")
    n_features = _shape(body, "embed.mlp.fc1.weight")[1]
    mode = _mode(body, classifier, generator)
    return PETv2Config(
        mode=mode,
        n_classes=_n_classes(classifier, generator),
        width=width,
        n_layers=_n_blocks(body, "in_blocks."),
        n_heads=n_heads or _n_heads(body, width),
        n_head_layers=_n_blocks(body, "local_physics.in_blocks."),
        n_tokens=n_tokens,
        ratio=hidden // width,
        use_pair_bias="interaction.mlp.fc1.weight" in body,
        use_local_pairs=n_local > n_features,
        n_species=_shape(body, "pid_embed.0.weight")[0] if "pid_embed.0.weight" in body else 0,
        n_extra=_shape(body, "add_embed.0.fc1.weight")[1] if "add_embed.0.fc1.weight" in body else 0,
        n_condition=_shape(body, "cond_embed.0.fc1.weight")[1] if "cond_embed.0.fc1.weight" in body else 0,
        n_particle_classes=_shape(generator, "out.weight")[0] if mode in ("ftag", "segmentation") else 0,
        n_features=n_features,
    )


def _shape(part: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    if name not in part:
        raise CheckpointError(f"the checkpoint has no tensor '{name}'; {nearest(name, part)}")
    return tuple(part[name].shape)


def _mode(
    body: Mapping[str, Tensor], classifier: Mapping[str, Tensor], generator: Mapping[str, Tensor]
) -> str:
    if "MPFourier.freqs" in body:
        return "pretrain" if classifier else "generator"
    if generator:
        return "ftag" if classifier else "segmentation"
    return "classifier"


def _n_classes(classifier: Mapping[str, Tensor], generator: Mapping[str, Tensor]) -> int:
    if classifier:
        return _shape(classifier, "out.weight")[0]
    return _shape(generator, "pid_embed.0.weight")[0] if "pid_embed.0.weight" in generator else 1


def _n_blocks(part: Mapping[str, Tensor], prefix: str) -> int:
    return len({name[len(prefix) :].split(".")[0] for name in part if name.startswith(prefix)})


def _n_heads(body: Mapping[str, Tensor], width: int) -> int:
    if "interaction.mlp.fc2.weight" in body:
        return _shape(body, "interaction.mlp.fc2.weight")[0]
    known = {size["width"]: size["n_heads"] for size in PETv2Config.SIZES.values()}
    if width not in known:
        raise CheckpointError(
            f"no shape tells the number of heads of this checkpoint (width {width}): give n_heads"
        )
    return known[width]


def load_published_v2(
    path: str | Path, *, weights: str = "live", n_heads: int | None = None, n_classes: int | None = None
) -> PETv2:
    """Build the PETv2 of a published checkpoint and load every tensor of it.

    Parameters
    ----------
    path
        ``best_model_*.pt``.
    weights
        ``"live"`` or ``"ema"``: the averaged body and generator, which the published sampler uses (the
        classifier has no averaged copy).
    n_heads
        Heads H, where neither a pair bias nor the width tells.
    n_classes
        Another number of classes: the tensors of that size start anew, and are logged.

    Returns
    -------
    PETv2
        In evaluation mode.

    Raises
    ------
    CheckpointError
        When tensors are missing, left over or of another shape; all are listed.
    """
    checkpoint = read_published_v2(path)
    try:
        config = infer_config(checkpoint, n_heads=n_heads)
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise error if isinstance(error, CheckpointError) else CheckpointError(f"{path}: {error}") from error
    with torch.device("meta"):
        shapes = PETv2(config)
    tensors = _collect(checkpoint, shapes, weights)
    expected = shapes.state_dict()
    theirs = {"/".join(published_name(k)) if k in expected else k: v for k, v in tensors.items()}
    expected = {"/".join(published_name(name)): value for name, value in expected.items()}
    check_tensors(theirs, f"{path} does not fit the published network", expected=expected)
    model = PETv2(config)
    model.load_state_dict(tensors)
    if n_classes is not None:
        model.replace_heads(n_classes=n_classes)
    return model.eval()


def write_published_v2(model: PETv2, path: str | Path, *, ema: PETv2 | None = None, epoch: int = 0) -> None:
    """Write a model in the published layout, for the published program to read.

    Parameters
    ----------
    model
        Weights.
    path
        File to write, ``.pt``.
    ema
        A model with averaged weights.
    epoch
        Recorded in the file.
    """
    content: dict[str, Any] = {"optimizer": {}, "epoch": epoch, "loss": float("nan"), "sched": {}}
    content |= _to_parts(model, PARTS)
    if ema is not None:
        content |= _to_parts(ema, EMA_PARTS)
    with atomic_path(path) as partial:
        torch.save(content, partial)


def _to_parts(model: PETv2, parts: Mapping[str, str]) -> dict[str, dict[str, Tensor]]:
    content: dict[str, dict[str, Tensor]] = {}
    for name, value in model.state_dict().items():
        part, rest = published_name(name)
        if part in parts:
            content.setdefault(parts[part], {})[rest] = value.detach().cpu().clone()
    return content


def _collect(checkpoint: Mapping[str, Any], model: PETv2, weights: str) -> dict[str, Tensor]:
    """Tensors of the checkpoint by our names; names without counterpart keep the published one."""
    if weights not in WEIGHTS:
        raise CheckpointError(
            f"a published checkpoint has no weights '{weights}'; {nearest(weights, WEIGHTS)}"
        )
    ours = {published_name(name): name for name in model.state_dict()}
    tensors = {}
    for part, title in PARTS.items():
        if weights == "ema" and part in EMA_PARTS and title in checkpoint:
            title = EMA_PARTS[part]
            if title not in checkpoint:
                raise CheckpointError(
                    f"the checkpoint has no averaged weights '{title}': load weights='live'"
                )
        for name, value in (checkpoint.get(title) or {}).items():
            tensors[ours.get((part, name), f"{part}/{name}")] = value
    return tensors
