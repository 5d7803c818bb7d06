"""What machine is this, and which training settings suit it."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

from omnilearn_lab.display import html_table
from omnilearn_lab.errors import ConfigError, nearest
from omnilearn_lab.machine.cores import memory_limit, read_text, usable_cores
from omnilearn_lab.training import TrainConfig

__all__ = ["Machine", "recommended_training", "this_machine"]

MB, GB = 1e6, 1e9

# Activations, gradients and optimizer of one training jet of 45 particles [MB], fp32, measured on a CPU.
_MB_PER_JET = {"PET tiny": 1.9, "PET small": 5.7, "PETv2 tiny": 6.4, "PETv2 small": 16.3}
_SHARE = 0.25  # of the memory, for the jets of one micro-batch; the data, the kernel and the rest need theirs
_BATCH = 256  # the papers' batch size
_BF16_FLAGS = ("avx512_bf16", "amx_bf16")


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


def _processor() -> tuple[str, bool]:
    """Return the CPU's name, and whether it multiplies in bfloat16."""
    lines = [line.partition(":") for line in read_text(Path("/proc/cpuinfo")).splitlines()]
    facts = {key.strip(): value.strip() for key, _, value in lines if value}
    flags = facts.get("flags", "").split()
    name = facts.get("model name") or platform.processor() or platform.machine()
    return name, any(flag in flags for flag in _BF16_FLAGS)
