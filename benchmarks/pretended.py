"""A device that is only pretended: what runs on it has shapes and a place, and no values.

Arithmetic on the host stays real, so that batches are planned as always; whatever touches the device is done
with PyTorch's fake tensors. A tensor made in the wrong place is an error there, and so is every question to
the device for a value, which would make the host wait for it. Operations that would launch a kernel are
counted.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = "pretended"
VIEWS = frozenset([
    "_reshape_alias", "_unsafe_view", "alias", "as_strided", "chunk", "detach", "device", "diagonal", "empty",
    "empty_like", "empty_strided", "expand", "lift_fresh", "new_empty", "permute", "select", "slice", "split",
    "split_with_sizes", "squeeze", "t", "transpose", "unbind", "unflatten", "unsqueeze", "view",
])  # fmt: skip
"""Operations that launch nothing."""
WAITS = frozenset([
    "_local_scalar_dense", "_unique2", "equal", "is_nonzero", "masked_select", "nonzero", "unique_dim",
])  # fmt: skip
"""Operations whose result decides what the host does next."""


class _Backend(_DummyBackendModule):
    """What PyTorch wants to know of a device."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]

    def is_available(self) -> bool:
        return True

    def empty_cache(self) -> None:
        return None


def pretended_device() -> torch.device:
    """The device, made known to PyTorch once per process."""
    if torch._C._get_privateuse1_backend_name() != NAME:
        _setup_privateuseone_for_python_backend(NAME, backend_module=_Backend())
    return torch.device(NAME, 0)


class Pretended(TorchDispatchMode):
    """While active, everything on the device is pretended, and counted by name in ``names``.

    Examples
    --------
    >>> with Pretended() as run:
    ...     rows = torch.zeros(3, 2).to(run.device, non_blocking=True)
    ...     _ = rows @ rows.t()
    >>> run.launches, run.waits
    (2, 0)
    """

    def __init__(self) -> None:
        super().__init__()
        self.device = pretended_device()
        self.names: Counter[str] = Counter()
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)
        self._around = ExitStack()

    def __enter__(self) -> Pretended:
        self._around = ExitStack()
        self._around.enter_context(_FusedAttention())
        self._around.enter_context(
            torch.autograd.set_multithreading_enabled(False)
        )  # no thread of the device
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._around.close()

    @property
    def launches(self) -> int:
        """Operations that launch a kernel, or copy."""
        return sum(n for name, n in self.names.items() if name not in VIEWS)

    @property
    def waits(self) -> int:
        """Operations whose result the host would wait for."""
        return sum(n for name, n in self.names.items() if name in WAITS or name.endswith("(waits)"))

    def __torch_dispatch__(
        self,
        function: Any,
        types: Any,
        arguments: tuple[Any, ...] = (),
        keywords: dict[str, Any] | None = None,
    ) -> Any:
        keywords = keywords or {}
        leaves = tree_leaves((arguments, keywords))
        places = {leaf.type for leaf in leaves if isinstance(leaf, torch.device)}
        places |= {leaf.device.type for leaf in leaves if isinstance(leaf, FakeTensor)}
        if NAME not in places and not any(isinstance(leaf, FakeTensor) for leaf in leaves):
            return function(*arguments, **keywords)
        self.names[_name(function, leaves, keywords)] += 1
        arguments, keywords = tree_map(self._pretend, (arguments, keywords))
        with self._fake:
            return function(*arguments, **keywords)

    def _pretend(self, value: Any) -> Any:
        is_real = isinstance(value, Tensor) and not isinstance(value, FakeTensor)
        return self._fake.from_tensor(value) if is_real else value


def _name(function: Any, leaves: list[Any], keywords: dict[str, Any]) -> str:
    """Name of an operation; copies between host and device that stop the host say so."""
    name = function.overloadpacket.__name__
    if name not in ("_to_copy", "copy_"):
        return name
    places = {leaf.device.type for leaf in leaves if isinstance(leaf, Tensor)}
    places |= {leaf.type for leaf in leaves if isinstance(leaf, torch.device)}
    may_go_on = keywords.get("non_blocking") or True in [leaf for leaf in leaves if isinstance(leaf, bool)]
    return name if len(places) < 2 or may_go_on else f"{name} (waits)"


class _FusedAttention(TorchFunctionMode):
    """Attention by one kernel, as CUDA does it; PyTorch has none for a device it does not know."""

    def __torch_function__(
        self,
        function: Any,
        types: Any,
        arguments: tuple[Any, ...] = (),
        keywords: dict[str, Any] | None = None,
    ) -> Any:
        keywords = keywords or {}
        if function is functional.scaled_dot_product_attention and arguments[0].device.type == NAME:
            query, key, value = arguments
            bias = keywords.get("attn_mask")
            if bias is not None:
                bias = bias.expand(*query.shape[:3], key.shape[2])
            needs = torch.is_grad_enabled() and query.requires_grad
            attend = torch.ops.aten._scaled_dot_product_efficient_attention
            return attend(query, key, value, bias, needs)[0]
        return function(*arguments, **keywords)
