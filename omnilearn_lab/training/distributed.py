"""Several processes, one training: who takes which jets, and how they agree.

A training with N ranks and batch size B gives every rank B / N jets of each update. Random numbers are
drawn for the whole batch and every mean is taken over the whole batch, so the result equals that of one
process with batch size B, up to rounding. Nothing here runs in a single process: no group is made.

======================== ============================================================================
started by               what tells a process its place
======================== ============================================================================
torchrun                 RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT
srun                     SLURM_PROCID, SLURM_STEP_NUM_TASKS, SLURM_LOCALID, SLURM_STEP_NODELIST
anything else            one process
======================== ============================================================================
"""

from __future__ import annotations

import gc
import os
import re
import socket
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from omnilearn_lab.errors import ConfigError
from omnilearn_lab.models import Batch
from omnilearn_lab.training.losses import Objective, Whole, part_terms
from omnilearn_lab.training.optimizers import optimizer_tensors, restore_optimizer

_LOOPBACK = "127.0.0.1"
_PORTS = (20_000, 20_000)  # first port and how many, for jobs whose scheduler gives none


@dataclass(frozen=True)
class Shard:
    """Which part of the jets this process trains on.

    Parameters
    ----------
    rank, n_ranks
        This process and how many there are.

    Raises
    ------
    ConfigError
        When the rank is not below the number of ranks.

    Examples
    --------
    >>> Shard(1, 4).part(8), Shard().is_main
    (slice(2, 4, None), True)
    """

    rank: int = 0
    n_ranks: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.n_ranks:
            raise ConfigError(f"rank is {self.rank} of {self.n_ranks}; it must lie in [0, {self.n_ranks})")

    @property
    def is_main(self) -> bool:
        """Whether this process writes the run directory."""
        return self.rank == 0

    def part(self, n_jets: int) -> slice:
        """Return this rank's jets of a batch of ``n_jets``.

        Raises
        ------
        ConfigError
            When the jets cannot be shared equally.
        """
        size, left = divmod(n_jets, self.n_ranks)
        if left or not size:
            raise ConfigError(
                f"batches of {n_jets} jets cannot be shared equally by {self.n_ranks} processes; "
                f"set batch_size to a multiple of {self.n_ranks}"
            )
        return slice(self.rank * size, (self.rank + 1) * size)


@dataclass(frozen=True)
class Place:
    """Where a process stands among those of its job.

    Parameters
    ----------
    rank, n_ranks
        Number of the process in the whole job.
    local_rank
        Its number on its machine, which is also that of its GPU.
    address, port
        Where the processes meet.
    """

    rank: int
    n_ranks: int
    local_rank: int
    address: str
    port: int


def find_place(environment: Mapping[str, str]) -> Place | None:
    """Return this process' place as torchrun or srun tell it; None for a process on its own.

    Parameters
    ----------
    environment
        Variables, such as ``os.environ``.

    Raises
    ------
    ConfigError
        When a variable is missing or is no number.

    Examples
    --------
    >>> find_place({"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "8", "SLURM_LOCALID": "1",
    ...             "SLURM_STEP_NODELIST": "gpu[007-008],gpu11", "SLURM_JOB_ID": "42"})
    Place(rank=5, n_ranks=8, local_rank=1, address='gpu007', port=20042)
    >>> find_place({})
    """
    names = next((n for n in (_TORCHRUN, _SLURM) if n[1] in environment), None)
    if names is None:
        return None
    try:
        rank, n_ranks, local_rank = (int(environment[name]) for name in names)
        first, count = _PORTS
        port = int(environment.get("MASTER_PORT", first + int(environment.get("SLURM_JOB_ID", "0")) % count))
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f"{names[1]} says that this is one of several processes, but not all of {', '.join(names)} are "
            f"numbers ({error}); start with torchrun or srun, or unset {names[1]}"
        ) from error
    if n_ranks == 1:
        return None
    hosts = environment.get("SLURM_STEP_NODELIST", _LOOPBACK)
    usual = _LOOPBACK if processes_here(environment) == n_ranks else _first_host(hosts)
    return Place(rank, n_ranks, local_rank, environment.get("MASTER_ADDR", usual), port)


def processes_here(environment: Mapping[str, str]) -> int:
    """Return how many processes of this job share a machine, as torchrun or srun tell it.

    Examples
    --------
    >>> processes_here({"SLURM_STEP_TASKS_PER_NODE": "4(x2),2"}), processes_here({})
    (4, 1)
    """
    tasks = re.findall(r"(?:^|,)(\d+)", environment.get("SLURM_STEP_TASKS_PER_NODE", "1"))
    return int(environment.get("LOCAL_WORLD_SIZE", max(map(int, tasks), default=1)))


_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
_SLURM = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")


def _first_host(hosts: str) -> str:
    """Return the first machine of a SLURM list.

    >>> [_first_host(h) for h in ("a1,a2", "gpu[03-07,9]-ib,b1", "localhost")]
    ['a1', 'gpu03-ib', 'localhost']
    """
    match = re.match(r"([^,\[]*)(?:\[(\w+)[^\]]*\])?([^,]*)", hosts)
    return "".join(part or "" for part in match.groups()) if match else hosts


@contextmanager
def process_group(environment: Mapping[str, str] | None = None) -> Iterator[Shard]:
    """Join the other processes of this job, and leave them at the end; a process on its own does nothing.

    After an error the group is left as it is: this process is expected to end, and its starter to end the
    others.

    On a machine with GPUs each process takes the one of its local rank.

    Parameters
    ----------
    environment
        Variables; those of this process by default.

    Yields
    ------
    Shard
        This process' share of the jets.
    """
    place = find_place(os.environ if environment is None else environment)
    if place is None or dist.is_initialized():
        yield this_shard()
        return
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(place.local_rank % torch.cuda.device_count())
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
        store=_store(place),
        rank=place.rank,
        world_size=place.n_ranks,
    )
    yield this_shard()
    gc.collect()  # models that share work hold the group, and its threads must not outlive the interpreter
    dist.destroy_process_group()  # not after an error: the others may never come to this line


def _store(place: Place) -> dist.Store:
    """Return where the processes meet; those of one machine cannot be reached from another one."""
    is_host = place.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    listener = {}
    if place.address in (_LOOPBACK, "localhost"):
        loopback = next((name for _, name in socket.if_nameindex() if name in ("lo", "lo0")), "lo")
        for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            os.environ.setdefault(variable, loopback)
        if is_host:
            server = socket.create_server((_LOOPBACK, place.port))
            listener = {"master_listen_fd": server.detach()}
    return dist.TCPStore(place.address, place.port, place.n_ranks, is_host, **listener)


def this_shard() -> Shard:
    """Return rank and number of ranks of the process group; (0, 1) without one.

    Examples
    --------
    >>> this_shard()
    Shard(rank=0, n_ranks=1)
    """
    return Shard(dist.get_rank(), dist.get_world_size()) if _in_group() else Shard()


def default_device() -> torch.device:
    """Return the GPU when there is one that works, else the CPU.

    Examples
    --------
    >>> default_device().type in ("cpu", "cuda")
    True
    """
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def agree(*wishes: bool) -> tuple[bool, ...]:
    """Return, for each wish, whether any rank has it: the same answer on all ranks.

    Examples
    --------
    >>> agree(True, False)
    (True, False)
    """
    if not _in_group():
        return wishes
    votes = torch.tensor(wishes, dtype=torch.int64)
    dist.all_reduce(votes, dist.ReduceOp.MAX)
    return tuple(bool(v) for v in votes.tolist())


def add_over_ranks(terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add named numbers over all ranks, in float64; all ranks must have the same names.

    Examples
    --------
    >>> add_over_ranks({"loss": torch.tensor(0.5)})
    {'loss': tensor(0.5000)}
    """
    if not _in_group():
        return dict(terms)
    names = sorted(terms)
    values = torch.stack([terms[name].detach().double() for name in names])
    dist.all_reduce(values)
    total = dict(zip(names, values, strict=True))
    return {name: total[name] for name in terms}


def gather(values: Tensor) -> list[Tensor]:
    """Return the numbers of all ranks, shape (N,) each, in the order of ranks; N may differ between them.

    Examples
    --------
    >>> gather(torch.tensor([3.0]))
    [tensor([3.])]
    """
    if not _in_group():
        return [values]
    lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(dist.get_world_size())]
    dist.all_gather(lengths, torch.tensor([len(values)]))
    longest = int(max(lengths))
    rows = [values.new_zeros(longest) for _ in lengths]
    dist.all_gather(rows, functional.pad(values, (0, longest - len(values))))
    return [row[: int(length)] for row, length in zip(rows, lengths, strict=True)]


class LossModule(nn.Module):
    """A model and what it minimises as one module: its ``forward`` is what all ranks do together.

    Parameters
    ----------
    model
    objective
        See `omnilearn_lab.training.losses`.
    """

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, part: Batch, whole: Whole) -> dict[str, Tensor]:
        """Return the share of a part in the loss terms of the whole."""
        return part_terms(self.objective, self.model, part, whole)


def spread(module: LossModule, parallel: str, unused: Collection[str] = ()) -> nn.Module:
    """Prepare a `LossModule` for training over all ranks.

    "ddp" keeps all weights on every rank and averages gradients. "fsdp" also shares out weights,
    gradients and optimizer state, block by block: for networks that do not fit one GPU.

    Parameters
    ----------
    module
        With equal weights on all ranks.
    parallel : {"ddp", "fsdp"}
    unused
        Names of parameters that no loss depends on: their gradients are not waited for.

    Returns
    -------
    nn.Module
        The module itself where there is one process, or for "fsdp", whose parameters are shards now.
    """
    if not _in_group():
        return module
    return _fully_sharded(module) if parallel == "fsdp" else _replicated(module, unused)


@contextmanager
def gradients_wait(module: nn.Module, wait: bool) -> Iterator[None]:
    """Inside, gradients of a spread module are added up on this rank only, where ``wait`` is set."""
    if isinstance(module, DistributedDataParallel):
        with module.no_sync() if wait else nullcontext():
            yield
        return
    if hasattr(module, "set_requires_gradient_sync"):
        module.set_requires_gradient_sync(not wait)
    yield


def share_out_again(module: nn.Module) -> None:
    """Let go of the whole weights that a forward pass without a backward leaves in the outermost shard."""
    if hasattr(module, "reshard"):
        module.reshard()


def _replicated(module: nn.Module, unused: Collection[str]) -> nn.Module:
    """Wrap in DDP, which looks only once at which parameters need gradients."""
    silent = [p for name, p in module.named_parameters() if name in unused and p.requires_grad]
    for parameter in silent:
        parameter.requires_grad_(False)
    wrapped = DistributedDataParallel(module)
    for parameter in silent:
        parameter.requires_grad_(True)
    return wrapped


def _fully_sharded(module: LossModule) -> nn.Module:
    """Share out the blocks of the body one by one, and the rest as one."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    device = next(module.parameters()).device.type
    mesh = init_device_mesh(device, (dist.get_world_size(),))
    for block in getattr(getattr(module.model, "body", None), "blocks", ()):
        fully_shard(block, mesh=mesh)
    return fully_shard(module, mesh=mesh)


def whole_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put the shards of all ranks together (all ranks must ask); tensors that are whole stay as they are."""
    return {n: v.full_tensor() if hasattr(v, "full_tensor") else v for n, v in tensors.items()}


def spread_optimizer(whole: torch.optim.Optimizer, spread: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Give an optimizer over shards what one over the same, whole parameters knows, and return it."""
    parameters = [p for group in spread.param_groups for p in group["params"]]
    tensors = {
        key: _shard_like(value, parameters[int(key.split(".")[0])])
        for key, value in optimizer_tensors(whole).items()
    }
    restore_optimizer(spread, tensors)
    return spread


def _shard_like(value: Tensor, like: Tensor) -> Tensor:
    if not hasattr(like, "device_mesh") or value.shape != like.shape:
        return value  # a count of updates, for one
    from torch.distributed.tensor import distribute_tensor  # brings sympy, and takes as long as torch

    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)


def _in_group() -> bool:
    return dist.is_available() and dist.is_initialized()
