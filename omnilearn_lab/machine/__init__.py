"""The machine this process runs on: cores, memory, worker processes, and files written in one step."""

from omnilearn_lab.machine.cores import memory_limit, usable_cores
from omnilearn_lab.machine.files import atomic_path, write_text
from omnilearn_lab.machine.memory import forget_kernels, release_memory, reuse_memory
from omnilearn_lab.machine.pool import WorkerPool, open_executor, run_jobs, usable_workers

__all__ = [
    "WorkerPool", "atomic_path", "forget_kernels", "memory_limit", "open_executor", "release_memory",
    "reuse_memory", "run_jobs", "usable_cores", "usable_workers", "write_text",
]  # fmt: skip
