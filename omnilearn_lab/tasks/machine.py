"""What machine is this, and which training settings suit it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from omnilearn_lab.display import html_table
from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.simulation import usable_cores
from omnilearn_lab.training import TrainConfig

__all__ = ["Machine", "memory_limit", "recommended_training", "this_machine"]

MB, GB = 1e6, 1e9

# Activations, gradients and optimizer of one training jet of 45 particles [MB], fp32, measured on a CPU.
_MB_PER_JET = {"PET tiny": 1.9, "PET small": 5.7, "PETv2 tiny": 6.4, "PETv2 small": 16.3}
_SHARE = 0.25  # of the memory, for the jets of one micro-batch; the data, the kernel and the rest need theirs
_BATCH = 256  # the papers' batch size
_BF16_FLAGS = ("avx512_bf16", "amx_bf16")
_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # of control groups, versions 2 and 1


@dataclass(frozen=True)
class Machine:
    """The computer that this process may use: limits of its container count, not the hardware's.

    Parameters
    ----------
    processor
        Name of the CPU.
    n_cores
        Cores this process may use.
    memory
        Main memory this process may use [GB].
    gpu
        Name of the first GPU that works; empty without one.
    gpu_memory
        Its memory [GB].
    has_bf16
        Whether the device that trains multiplies matrices in bfloat16.

    Examples
    --------
    >>> Machine("a laptop", 2, 8.0, has_bf16=True)
    <2 cores of a laptop, 8.0 GB, no GPU; trains on the CPU in bf16>
    """

    processor: str
    n_cores: int
    memory: float
    gpu: str = ""
    gpu_memory: float = 0.0
    has_bf16: bool = False

    @property
    def device(self) -> str:
        """Where trainings run: "cuda" or "cpu"."""
        return "cuda" if self.gpu else "cpu"

    @property
    def training_memory(self) -> float:
        """Memory of the device that trains [GB]."""
        return self.gpu_memory if self.gpu else self.memory

    def rows(self) -> list[tuple[str, str]]:
        """Return (what, value) pairs, as shown in a notebook."""
        gpu = f"{self.gpu}, {self.gpu_memory:.0f} GB" if self.gpu else "none: trainings run on the CPU"
        settings = recommended_training(self, "PET tiny")
        return [
            ("Cores", f"{self.n_cores} of {self.processor}"),
            ("Memory", f"{self.memory:.1f} GB"),
            ("GPU", gpu),
            ("Precision to train in", settings.precision),
            *((f"Batch size of {name}", self._batch(name)) for name in _MB_PER_JET),
        ]

    def _batch(self, network: str) -> str:
        training = recommended_training(self, network)
        parts = f", in {training.accumulate} parts" if training.accumulate > 1 else ""
        return f"{training.batch_size} jets{parts}"

    def __repr__(self) -> str:
        gpu = f"{self.gpu} with {self.gpu_memory:.0f} GB" if self.gpu else "no GPU"
        precision = "bf16" if self.has_bf16 else "fp32"
        place = "GPU" if self.gpu else "CPU"
        cores = "1 core" if self.n_cores == 1 else f"{self.n_cores} cores"
        return (
            f"<{cores} of {self.processor}, {self.memory:.1f} GB, {gpu}; "
            f"trains on the {place} in {precision}>"
        )

    def _repr_html_(self) -> str:
        return html_table(self.rows(), head=False)


def this_machine() -> Machine:
    """Look at the machine this process runs on.

    Returns
    -------
    Machine

    Examples
    --------
    >>> this_machine().n_cores >= 1
    True
    """
    import torch

    processor, cpu_has_bf16 = _processor()
    gpu, gpu_memory, has_bf16 = "", 0.0, cpu_has_bf16
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        gpu, gpu_memory = properties.name, properties.total_memory / GB
        has_bf16 = torch.cuda.is_bf16_supported()
    return Machine(processor, usable_cores(), memory_limit() / GB, gpu, gpu_memory, has_bf16)


def recommended_training(machine: Machine, network: str = "PET tiny") -> TrainConfig:
    """Return the papers' batch of 256 jets, in as many parts as the memory asks for, and the precision.

    One part may fill a quarter of the memory, at 45 particles per jet: jets of 100 particles take about
    twice as much, or four times in a PETv2 with pair bias.

    Parameters
    ----------
    machine
    network
        "PET tiny", "PET small", "PETv2 tiny" or "PETv2 small": the sizes that were measured.

    Returns
    -------
    TrainConfig

    Raises
    ------
    ConfigError
        For another network.

    Examples
    --------
    >>> recommended_training(Machine("a laptop", 2, 8.0, has_bf16=True), "PETv2 small").accumulate
    4
    """
    if network not in _MB_PER_JET:
        raise ConfigError(f"the memory of '{network}' was not measured; {nearest(network, _MB_PER_JET)}")
    jets = _SHARE * machine.training_memory * GB / (_MB_PER_JET[network] * MB)
    accumulate = 1
    while _BATCH / accumulate > jets and accumulate < _BATCH:
        accumulate *= 2
    precision = "bf16" if machine.has_bf16 else "fp32"
    return TrainConfig(batch_size=_BATCH, accumulate=accumulate, precision=precision)


def memory_limit(root: str | os.PathLike[str] = "/") -> float:
    """Return how many bytes of main memory this process may use.

    The smallest of the machine's memory and the limits of the control groups this process belongs to.

    Parameters
    ----------
    root
        Where ``proc`` and ``sys`` are.

    Raises
    ------
    ConfigError
        Where the system does not tell.

    Examples
    --------
    >>> memory_limit() > 1e8
    True
    """
    root = Path(root)
    groups = root / "sys/fs/cgroup"
    text = (_read(path) for path in _limit_files(groups, _read(root / "proc/self/cgroup")))
    limits = [int(value) for value in text if value.isdigit()]
    total = _total_memory(_read(root / "proc/meminfo"))
    if not limits and total is None:
        raise ConfigError("this system does not tell how much memory it has; set the batch size yourself")
    return float(min([*limits, *([total] if total else [])]))


def _limit_files(groups: Path, membership: str) -> Iterable[Path]:
    """Return where limits may be: of the whole tree, and of every group above this process."""
    for name in _LIMITS:
        yield groups / name
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        version_2 = not controllers
        top = groups if version_2 else groups / "memory"
        if not version_2 and "memory" not in controllers.split(","):
            continue
        place = top
        for part in Path(path.lstrip("/")).parts:
            place = place / part
            yield place / _LIMITS[0 if version_2 else 1].rpartition("/")[2]


def _total_memory(meminfo: str) -> int | None:
    for line in meminfo.splitlines():
        if line.startswith("MemTotal:"):
            return 1024 * int(line.split()[1])
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _processor() -> tuple[str, bool]:
    """Return the CPU's name, and whether it multiplies in bfloat16."""
    lines = [line.partition(":") for line in _read(Path("/proc/cpuinfo")).splitlines()]
    facts = {key.strip(): value.strip() for key, _, value in lines if value}
    flags = facts.get("flags", "").split()
    name = facts.get("model name") or platform.processor() or platform.machine()
    return name, any(flag in flags for flag in _BF16_FLAGS)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
