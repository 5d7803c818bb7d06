"""OmniLearn's Keras weight files (``*.weights.h5``) to `PET` and back.

TensorFlow 2.14 and 2.15 lay the same file out differently; each layer is found by its class and its number.
Every expected tensor must be there with the right shape, and every tensor of a part must be used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from omnilearn_lab.errors import CheckpointError, ConfigError, translated
from omnilearn_lab.machine import atomic_hdf5
from omnilearn_lab.models.attention import Attention
from omnilearn_lab.models.pet import PET, PETConfig
from omnilearn_lab.models.sizes import check_tensors

LAYOUTS = {
    "TF 2.15": {
        "body": "layers/functional/layers",
        "classifier": "layers/functional_1/layers",
        "generator": "layers/functional_2/layers",
        "ema_body": "layers/functional_5/layers",
        "ema_generator": "layers/functional_6/layers",
    },
    "TF 2.14": {
        "body": "body/_layer_checkpoint_dependencies",
        "classifier": "classifier/_layer_checkpoint_dependencies",
        "generator": "generator/_layer_checkpoint_dependencies",
        "ema_body": "ema_body/_layer_checkpoint_dependencies",
        "ema_generator": "ema_generator_head/_layer_checkpoint_dependencies",
    },
}
EMA_PARTS = {"body": "ema_body", "classifier": "classifier", "generator": "ema_generator"}


def load_keras(path: str | Path, *, ema: bool = False) -> PET:
    """Load a published PET; sizes are read from the tensors.

    Parameters
    ----------
    path
        A ``.weights.h5`` file of OmniLearn's pretraining (body and both heads).
    ema
        Take the exponential moving averages of body and generator (there is none of the classifier).

    Returns
    -------
    PET
        In evaluation mode, on CPU, with ``class_token="zero"``, and no drops, as published. For the published
        padding wrap it in `omnilearn_lab.models.published.PublishedPET`.

    Raises
    ------
    CheckpointError
        If the file is not such a file, or tensors are missing, superfluous or of a wrong shape (all listed).
    """
    tensors = read_keras(path, ema=ema)
    try:
        config = _infer_config(tensors, path)
    except (IndexError, ConfigError) as error:
        raise CheckpointError(f"{path}: shapes of no PET ({error})") from error
    model = PET(config)
    _assign(model, tensors, path)
    return model.eval()


def save_keras(model: PET, path: str | Path, *, layout: str = "TF 2.15") -> Path:
    """Write body and heads in the layout of the published files.

    Parameters
    ----------
    model
        The network; a trained class token has no place in these files and is an error.
    path
        File to write, ending in ``.weights.h5``.
    layout
        ``"TF 2.15"`` or ``"TF 2.14"``.

    Returns
    -------
    Path
        The file.
    """
    if model.config.class_token != "zero" or model.particle is not None:
        raise CheckpointError("a published file holds neither a trained class token nor a particle head")
    prefixes, n_heads = LAYOUTS[layout], model.config.n_heads
    with atomic_hdf5(path) as file:
        for key, value, kind in keras_names(model):
            part, _, name = key.partition("/")
            layer, _, number = name.rpartition("/")
            file[f"{prefixes[part]}/{layer}/vars/{number}"] = _to_keras(value.detach(), kind, n_heads)
    return Path(path)


def read_keras(path: str | Path, *, ema: bool = False) -> dict[str, np.ndarray]:
    """Read the tensors of body, classifier and generator as ``part/layer/variable`` to array."""
    import h5py

    problem = f"{path}: not a readable HDF5 file"
    with translated(CheckpointError, problem, "download it again"), h5py.File(path, "r") as file:
        prefixes = LAYOUTS[_layout(file, path)]
        chosen = EMA_PARTS if ema else {part: part for part in EMA_PARTS}
        tensors = {}
        for part, source in chosen.items():
            if prefixes[source] not in file:
                raise CheckpointError(f"{path}: no '{prefixes[source]}' ({source}) in this file")
            tensors.update(_tensors(part, file[prefixes[source]], Path(path)))
        return tensors


def _layout(file: Any, path: str | Path) -> str:
    if "layers" in file and "functional" in file["layers"]:
        return "TF 2.15"
    if "body" in file:
        return "TF 2.14"
    raise CheckpointError(
        f"{path}: groups {sorted(file)} match neither layout of an OmniLearn file "
        "(TF 2.15: layers/functional, TF 2.14: body)"
    )


def _tensors(part: str, group: Any, path: Path) -> dict[str, np.ndarray]:
    """The arrays of a part; what it says of their sizes is compared with the size of the file."""
    import h5py

    arrays: dict[str, np.ndarray] = {}
    n_bytes = path.stat().st_size

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            if item.dtype.kind != "f" or item.nbytes > n_bytes:
                what = f"'{part}/{name}' is {item.dtype}, {item.shape}"
                raise CheckpointError(f"{path}: {what}, no tensor of a file of {n_bytes} bytes")
            arrays[f"{part}/{name.replace('/vars/', '/')}"] = item[()]

    group.visititems(visit)
    return arrays


def _infer_config(tensors: Mapping[str, np.ndarray], path: str | Path) -> PETConfig:
    def shape(key: str) -> tuple[int, ...]:
        if key not in tensors:
            raise CheckpointError(f"{path}: tensor '{key}' is missing; not a full PET checkpoint")
        return tensors[key].shape

    def blocks(part: str) -> int:
        return len({key.split("/")[1] for key in tensors if key.startswith(f"{part}/multi_head_attention")})

    return PETConfig(
        n_features=shape("body/dense_2/0")[0],
        n_jet_features=shape("classifier/dense/0")[0],
        n_classes=shape(f"classifier/dense_{2 * blocks('classifier') + 1}/0")[1],
        width=shape("body/dense_3/0")[1],
        n_heads=shape("body/multi_head_attention/_query_dense/0")[1],
        n_layers=blocks("body"),
        n_class_layers=blocks("classifier"),
        n_generator_layers=blocks("generator"),
        class_token="zero",
        feature_drop=0.0,
        label_drop=0.0,
    )


def _assign(model: PET, tensors: Mapping[str, np.ndarray], path: str | Path) -> None:
    """Copy every tensor into the model; nothing may be left over on either side."""
    wanted = {key: (target, kind) for key, target, kind in keras_names(model)}
    converted = {
        k: _convert(v, wanted[k][1]) if k in wanted else torch.from_numpy(v) for k, v in tensors.items()
    }
    check_tensors(converted, str(path), expected={key: target for key, (target, _) in wanted.items()})
    with torch.no_grad():
        for key, value in converted.items():
            wanted[key][0].copy_(value)
    n_expected = sum(p.numel() for p in model.parameters())
    n_assigned = sum(value.numel() for value in converted.values())
    if n_assigned != n_expected:
        raise CheckpointError(f"{path}: {n_assigned} numbers assigned, the model has {n_expected}")


def _convert(array: np.ndarray, kind: str) -> Tensor:
    """Keras kernels are (inputs, outputs); attention kernels have the heads as an axis of their own."""
    value = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    if kind == "kernel":
        return value.t()
    if kind == "projection":  # (d, H, h) to (H h, d)
        return value.flatten(1).t()
    if kind == "output":  # (H, h, d) to (d, H h)
        return value.flatten(0, 1).t()
    return value.flatten()


def _to_keras(value: Tensor, kind: str, n_heads: int) -> np.ndarray:
    """The inverse of `_convert`."""
    if kind == "projection":
        value = value.t().unflatten(1, (n_heads, -1))
    elif kind == "output":
        value = value.t().unflatten(0, (n_heads, -1))
    elif kind == "kernel":
        value = value.t()
    elif kind == "head":
        value = value.unflatten(0, (n_heads, -1))
    return value.contiguous().numpy()


def keras_names(model: PET) -> Iterator[tuple[str, Tensor, str]]:
    """Yield (name in the file, the model's tensor, kind of conversion) for every parameter."""
    body, classifier, generator = model.body, model.classifier, model.generator
    dense = [
        *(body.edges[0].first, body.edges[0].second, body.embedding.first, body.embedding.second),
        *(body.time.first, body.time.second, body.time_modulation),
        *(body.edges[1].first, body.edges[1].second),
        *_forward_layers(body.blocks),
    ]
    norms = [norm for block in body.blocks for norm in (block.norm_attention, block.norm_forward)]
    yield from _part("body", dense, norms, body.blocks)
    dense = [classifier.modulation, *_forward_layers(classifier.blocks)]
    dense += [classifier.logits, classifier.regression]
    norms = [n for b in classifier.blocks for n in (b.norm_attention, b.norm_after, b.norm_forward)]
    yield from _part("classifier", dense, [*norms, classifier.norm], classifier.blocks)
    dense = [
        *(generator.time.first, generator.time.second, generator.jet),
        *(generator.condition.first, generator.label, generator.condition.second),
        *_forward_layers(generator.blocks),
        generator.out,
    ]
    norms = [norm for block in generator.blocks for norm in (block.norm_attention, block.norm_forward)]
    yield from _part("generator", dense, [*norms, generator.norm], generator.blocks)


def _forward_layers(blocks: nn.ModuleList) -> list[nn.Linear]:
    return [layer for b in blocks for layer in (b.forward_layer.first, b.forward_layer.second)]


def _part(
    part: str, dense: list[nn.Module], norms: list[nn.Module], blocks: nn.ModuleList
) -> Iterator[tuple[str, Tensor, str]]:
    for k, layer in enumerate(dense):
        yield from _weight_and_bias(f"{part}/{_numbered('dense', k)}", layer, "kernel")
    for k, norm in enumerate(norms):
        yield from _weight_and_bias(f"{part}/{_numbered('group_normalization', k)}", norm, "vector")
    scales = [scale for block in blocks for scale in (block.scale_attention, block.scale_forward)]
    for k, scale in enumerate(scales):
        yield f"{part}/{_numbered('layer_scale', k)}/0", scale.weight, "vector"
    for k, block in enumerate(blocks):
        yield from _attention(f"{part}/{_numbered('multi_head_attention', k)}", block.attention)


def _attention(name: str, layer: Attention) -> Iterator[tuple[str, Tensor, str]]:
    weights, biases = layer.qkv.weight.chunk(3), layer.qkv.bias.chunk(3)
    for role, weight, bias in zip(("query", "key", "value"), weights, biases, strict=True):
        yield f"{name}/_{role}_dense/0", weight, "projection"
        yield f"{name}/_{role}_dense/1", bias, "head"
    yield f"{name}/_output_dense/0", layer.out.weight, "output"
    yield f"{name}/_output_dense/1", layer.out.bias, "vector"


def _weight_and_bias(name: str, layer: nn.Module, kind: str) -> Iterator[tuple[str, Tensor, str]]:
    yield f"{name}/0", layer.weight, kind  # type: ignore[misc]
    if layer.bias is not None:
        yield f"{name}/1", layer.bias, "vector"  # type: ignore[misc]


def _numbered(name: str, k: int) -> str:
    return f"{name}_{k}" if k else name
