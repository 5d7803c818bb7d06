"""The machine this process runs on: cores, memory, worker processes, and files written in one step."""
# ruff: noqa: I001

from omnilearn_lab.machine.resources import memory_limit, usable_cores
from omnilearn_lab.machine.files import atomic_folder, atomic_path, locked, make_folder, write_text
from omnilearn_lab.machine.files import append_rows, atomic_hdf5, check_disk
from omnilearn_lab.machine.resources import reuse_memory
from omnilearn_lab.machine.pool import as_finished, open_executor, report, run_jobs, run_kept
from omnilearn_lab.machine.pool import usable_workers
from omnilearn_lab.machine.files import StrPath, attributes, check_dataset, check_size, reading, watched
from omnilearn_lab.machine.files import read_arrays, write_arrays

__all__ = [
    "StrPath", "append_rows", "as_finished", "atomic_folder", "atomic_hdf5", "atomic_path", "attributes",
    "check_dataset", "check_disk", "check_size", "locked", "make_folder", "memory_limit", "open_executor",
    "read_arrays", "reading", "report", "reuse_memory", "run_jobs", "run_kept", "usable_cores",
    "usable_workers", "watched", "write_arrays", "write_text",
]  # fmt: skip
