"""The processes of a run: who is there, what they tell each other, and tensors that are spread over them.

The same code runs on one process or many, on CPUs (gloo) or GPUs (NCCL): one process is a mesh of one.
"""

import contextlib
import ctypes
import dataclasses
import datetime
import os
import signal
import sys
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from pipeline.contract.errors import ConfigError
from training.config import ParallelConfig
from training.runtime.stopping import started_by_launcher


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """Who this process is among all."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    device: torch.device

    @property
    def main(self) -> bool:
        """Whether this is the process that writes logs and talks."""
        return self.rank == 0


def initialize(config: ParallelConfig) -> World:
    """Join the other processes as torchrun's environment says; alone where there is none.

    Raises:
        ConfigError: a device that is not there, or `replicas` that do not divide the processes.
    """
    if started_by_launcher():
        _end_with_parent()
    rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    local_rank = int(os.environ.get("LOCAL_RANK", rank))
    device = choose_device(config.device, local_rank)
    if size % config.replicas:
        raise ConfigError("parallel.replicas", f"must divide the {size} processes, got {config.replicas}")
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.set_float32_matmul_precision("high")
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what PyTorch asks for, to repeat cuBLAS bits
        torch.use_deterministic_algorithms(True)
    if not dist.is_initialized():
        _join(rank, size, device, datetime.timedelta(minutes=config.timeout_minutes))
    return World(rank=rank, size=size, local_rank=local_rank, device=device)


def _end_with_parent() -> None:
    """Ask the kernel (Linux) for a SIGTERM when the launcher dies, however it dies."""
    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG in linux/prctl.h
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """The device called `auto`, `cpu` or `cuda`.

    Raises:
        ConfigError: cuda, where there is no (or not that many a) GPU.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and count == 0):
        return torch.device("cpu")
    if local_rank >= count:
        hint = f"start at most {count} processes here" if count else "set parallel.device=cpu"
        raise ConfigError("parallel.device", f"process {local_rank} finds {count} GPUs on this machine", hint=hint)
    return torch.device("cuda", local_rank)


def _join(rank: int, size: int, device: torch.device, timeout: datetime.timedelta) -> None:
    backend = "nccl" if device.type == "cuda" else "gloo"
    settings: dict[str, Any] = {"backend": backend, "rank": rank, "world_size": size, "timeout": timeout}
    if device.type == "cuda":
        settings["device_id"] = device
    if "MASTER_ADDR" not in os.environ:
        settings["store"] = dist.HashStore()  # type: ignore[attr-defined]  # alone: no port, no network
    dist.init_process_group(**settings)


def shut_down() -> None:
    """Leave the group."""
    if dist.is_initialized():
        dist.destroy_process_group()


def exit_process(code: int) -> NoReturn:
    """End the process now: gloo's threads sometimes abort an interpreter that ends in the normal way."""
    shut_down()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # nobody is at the other end any more
            stream.flush()
    os._exit(code)


def all_reduce_sum(world: World, values: Tensor) -> Tensor:
    """The sum over all processes, in place."""
    if world.size > 1:
        dist.all_reduce(values)
    return values


def all_gather(world: World, value: Any) -> list[Any]:
    """The `value` of every process, in the order of ranks, on every process."""
    values: list[Any] = [value]
    if world.size > 1:
        values = [None] * world.size
        dist.all_gather_object(values, value)
    return values


def copy_full_tensor(parameter: Tensor, value: Tensor) -> None:
    """Copy a whole tensor, the same on every process, into a parameter that may be sharded."""
    value = value.to(device=parameter.device, dtype=parameter.dtype)
    if isinstance(parameter, DTensor):
        # src_data_rank=None: every process cuts its own part, nothing is sent.
        parameter.copy_(distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None))
    else:
        parameter.copy_(value)


def full_tensor(tensor: Tensor) -> Tensor:
    """The full tensor of a sharded one (all processes must ask); others as they are."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
