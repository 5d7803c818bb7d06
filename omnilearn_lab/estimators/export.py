"""A fitted network as an ONNX file: padded jets in, probabilities and embedding out."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from omnilearn_lab import models
from omnilearn_lab.errors import ConfigError, MissingDependencyError, translated
from omnilearn_lab.estimators.networks import PETClassifier, PETRegressor
from omnilearn_lab.features import JET_FEATURES, PARTICLE_FEATURES, STANDARDIZATIONS
from omnilearn_lab.machine import StrPath, atomic_path
from omnilearn_lab.models.packing import Group, Packing, Pairs


class PaddedClassifier(nn.Module):
    """A classifier on a fixed number of jets with a fixed number of slots; empty slots change nothing.

    Parameters
    ----------
    model
        `PET` or `PETv2` with a classifier head, in evaluation mode.
    length
        Slots N of each jet; 2 at least.
    n_jets
        Jets B of each call.

    Examples
    --------
    >>> from omnilearn_lab.models import PET, PETConfig
    >>> padded = PaddedClassifier(PET(PETConfig.named("tiny", n_classes=2)).eval(), 8)
    >>> inputs = torch.zeros(1, 8, 13), torch.zeros(1, 4), torch.ones(1, 8).bool()
    >>> [tuple(out.shape) for out in padded(*inputs)]
    [(1, 2), (1, 64)]
    """

    def __init__(self, model: nn.Module, length: int, n_jets: int = 1) -> None:
        super().__init__()
        self.model, self.length, self.n_jets = model, length, n_jets

    def forward(
        self,
        features: Tensor,
        jet: Tensor,
        mask: Tensor,
        pid: Tensor | None = None,
        extra: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return logits (B, C) and the embedding (B, d), which enters the last layer.

        Parameters
        ----------
        features
            As `Batch.features`, shape (B, N, F).
        jet
            As `Batch.jet`, shape (B, J).
        mask
            True in slots that hold a particle, shape (B, N); one at least in each jet.
        pid, extra
            As in `Batch`, shapes (B, N) and (B, N, A), where the network reads them.
        """
        rows = _filled(features, mask)
        more = {name: _filled(v, mask) for name, v in (("pid", pid), ("extra", extra)) if v is not None}
        offsets = torch.arange(0, len(rows) + 1, self.length)
        batch = _PaddedBatch(rows, rows[:, :2], offsets, jet, **more).keep(self._packing(mask))
        seen: list[Tensor] = []
        model: Any = self.model
        last = getattr(model.classifier, "logits", None) or model.classifier.out
        hook = last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            logits = model.classify(batch).logits
        finally:
            hook.remove()
        return logits, seen[0]

    def _packing(self, mask: Tensor) -> Packing:
        """One block whose rows are the slots."""
        n_slots = self.n_jets * self.length
        places = torch.arange(n_slots)
        jet = torch.arange(self.n_jets).repeat_interleave(self.length)
        block = Group(0, 0, self.n_jets, self.length, False, 0)
        counts = np.full(self.n_jets, self.length)
        columns = (jet, mask.sum(1).float(), places, mask.flatten(), places)
        return _PaddedPacking(counts, *columns, None, None, (block,), one_block=True, in_slots=True)


class _PaddedBatch(models.Batch):
    """A batch whose shapes are known to fit: nothing is asked of values that a tracer does not have."""

    def __post_init__(self) -> None:
        pass


@dataclass(frozen=True, eq=False)
class _PaddedPacking(Packing):
    """Pairs of slots, not of particles: the same for all jets; attention leaves empty slots out."""

    @property
    def pairs(self) -> list[Pairs]:
        """All pairs of different slots of each jet."""
        (block,) = self.groups
        length, jet = block.length, torch.arange(block.n_jets)[:, None]
        n_pairs = length * (length - 1) // 2
        row, column = torch.tril_indices(length, length, -1)
        first, second = ((jet * length + slot).flatten() for slot in (row, column))
        place = torch.arange(length)
        high, low = torch.maximum(place, place[:, None]), torch.minimum(place, place[:, None])
        number = jet[:, :, None] * n_pairs + high * (high - 1) // 2 + low
        table = torch.where(high != low, number, block.n_jets * n_pairs)
        return [Pairs(first, second, ((jet * length + row) * length + column).flatten(), table)]


def _filled(values: Tensor, mask: Tensor) -> Tensor:
    """Rows of all slots, (B N, ...); empty ones repeat the first of their jet."""
    shaped = mask.view(*mask.shape, *[1] * (values.dim() - 2))
    return torch.where(shaped, values, values[:, :1]).flatten(0, 1)


OPSET = 20
_V2_FEATURES = ("deta", "dphi", "log_pt", "log_energy")
_V2_EXTRA = ("tanh(d0 / mm)", "d0_err [mm]", "tanh(dz / mm)", "dz_err [mm]")


class _Exported(nn.Module):
    """Class probabilities, or numbers in their own units, beside the embedding."""

    def __init__(self, estimator: PETClassifier | PETRegressor, length: int, n_jets: int) -> None:
        super().__init__()
        self.network = PaddedClassifier(estimator.network_.cpu().eval(), length, n_jets)
        self.is_classifier = isinstance(estimator, PETClassifier)
        self.has_head = estimator.train == "head"
        of_head = (f"head_{part}_" for part in ("mean", "scale", "coefficients", "intercept"))
        for name in (*of_head, "target_mean_", "target_std_"):
            value = np.asarray(getattr(estimator, name, 0.0 if name.endswith("mean_") else 1.0))
            self.register_buffer(name, torch.from_numpy(np.atleast_1d(value)).float())

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the estimator predicts, (B, C), and the embedding, (B, d)."""
        outputs, embedding = self.network(*inputs)
        if self.has_head:
            scaled = (embedding - self.head_mean_) / self.head_scale_
            outputs = scaled @ self.head_coefficients_.T + self.head_intercept_
        if self.is_classifier:
            return outputs.softmax(1), embedding
        return outputs * self.target_std_ + self.target_mean_, embedding


def export_onnx(
    estimator: PETClassifier | PETRegressor, path: StrPath, *, max_particles: int = 128, n_jets: int = 1
) -> Path:
    """Write a fitted estimator as an ONNX file (opset 20).

    Jets are padded to ``max_particles`` slots; ``mask`` says which hold a particle, and empty slots change
    nothing, whatever they hold. The number of jets and of slots of a call are fixed. Outputs are what the
    estimator predicts, ``jet_output``, and ``jet_embedding``. The file's metadata say, as JSON under
    ``omnilearn_lab``, the inputs with their columns in order, units and normalisation, and the classes.

    Parameters
    ----------
    estimator : PETClassifier or PETRegressor
        Fitted.
    path
        Ends in ``.onnx``.
    max_particles
        Slots of each jet.
    n_jets
        Jets of each call.

    Returns
    -------
    Path

    Raises
    ------
    ConfigError
        For sizes below 2 slots or 1 jet.
    MissingDependencyError
        Without ``pip install omnilearn_lab[onnx]``.
    """
    if max_particles < 2 or n_jets < 1:
        raise ConfigError(f"{max_particles} slots and {n_jets} jets; 2 slots and 1 jet at least are needed")
    onnx = _library()
    estimator._check_fitted()
    module = _Exported(estimator, max_particles, n_jets).eval()
    example = _example(estimator, max_particles, n_jets)
    with sdpa_kernel(SDPBackend.MATH), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        program: Any = torch.onnx.export(
            module,
            tuple(example.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(example),
            output_names=["jet_output", "jet_embedding"],
            verbose=False,
        )
    made = program.model_proto
    about = made.metadata_props.add()
    about.key, about.value = "omnilearn_lab", json.dumps(_about(estimator, example))
    with atomic_path(path) as partial:
        onnx.save(made, partial)
    return Path(path)


def padded_inputs(
    estimator: PETClassifier | PETRegressor, batch: models.Batch, max_particles: int
) -> dict[str, np.ndarray]:
    """Return jets as the inputs of the exported file, by name; the hardest particles where a jet has more.

    Parameters
    ----------
    estimator
    batch : Batch
        As ``estimator.inputs_.batch(jets)`` gives it.
    max_particles
        Slots of each jet.
    """
    counts = batch.counts.clamp(max=max_particles)
    first, place = batch.offsets[:-1, None], torch.arange(max_particles)[None]
    mask = place < counts[:, None]
    rows = torch.where(mask, first + place, first)
    arrays = {"features": batch.features[rows], "jet": batch.jet, "mask": mask}
    wanted = _example(estimator, 2, 1)
    for name in ("pid", "extra"):
        if name in wanted:
            value = getattr(batch, name)
            shape = (*rows.shape, *wanted[name].shape[2:])
            arrays[name] = torch.zeros(shape, dtype=wanted[name].dtype) if value is None else value[rows]
    return {name: value.numpy() for name, value in arrays.items() if name in wanted}


def _example(estimator: PETClassifier | PETRegressor, length: int, n_jets: int) -> dict[str, Tensor]:
    """Inputs of the right shapes, by name, in the order of the arguments."""
    config: Any = estimator.network_.config
    is_v2 = estimator.inputs_.kind == "pet_v2"
    n_columns = len(_V2_FEATURES) if is_v2 else config.n_features
    inputs = {
        "features": torch.zeros(n_jets, length, n_columns),
        "jet": torch.zeros(n_jets, 0 if is_v2 else config.n_jet_features),
        "mask": torch.ones(n_jets, length, dtype=torch.bool),
    }
    if is_v2 and config.n_species:
        inputs["pid"] = torch.zeros(n_jets, length, dtype=torch.int64)
    if is_v2 and config.n_extra:
        inputs["pid"] = inputs.get("pid", torch.zeros(n_jets, length, dtype=torch.int64))
        inputs["extra"] = torch.zeros(n_jets, length, config.n_extra)
    return inputs


def _about(estimator: PETClassifier | PETRegressor, example: dict[str, Tensor]) -> dict[str, Any]:
    is_v2 = estimator.inputs_.kind == "pet_v2"
    scale = STANDARDIZATIONS[estimator.inputs_.standardization]
    columns = {
        "features": _V2_FEATURES if is_v2 else PARTICLE_FEATURES,
        "jet": () if is_v2 else JET_FEATURES,
        "mask": "true where a slot holds a particle",
        "pid": "species number, see omnilearn_lab.jets.index_from_pid",
        "extra": _V2_EXTRA,
    }
    normalisation = {} if is_v2 else {name: getattr(scale, name) for name in vars(scale)}
    return {
        "inputs": {
            n: {"shape": list(v.shape), "type": str(v.dtype), "columns": columns[n]}
            for n, v in example.items()
        },
        "normalisation": {
            "rule": "(x - mean) / std, particle columns 0 to 5 and all jet columns",
            **normalisation,
        },
        "units": {"energy": "GeV", "length": "mm", "angle": "radian"},
        "order": "particles by falling pt",
        "outputs": list(estimator.score_names()),
        "kind": "class probabilities" if isinstance(estimator, PETClassifier) else "numbers",
        "opset": OPSET,
    }


def _library() -> Any:
    remedy = "pip install omnilearn_lab[onnx]"
    with translated(MissingDependencyError, "an ONNX file needs two libraries", remedy):
        import onnx
        import onnxscript  # noqa: F401
    return onnx
