"""Processes, sharding, casting, recomputation and compilation: everything the model file does not know about.

The same code runs on one process or many, on CPUs (gloo) or GPUs (NCCL): one process is a mesh of one.
"""

import contextlib
import ctypes
import dataclasses
import datetime
import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from pipeline.contract.errors import ConfigError
from training.config import ModelConfig, ParallelConfig
from training.model.initialization import initial_value
from training.model.transformer import Transformer
from training.stopping import launched


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


def start(config: ParallelConfig) -> World:
    """Join the other processes as torchrun's environment says; alone where there is none.

    Raises:
        ConfigError: a device that is not there, or `replicas` that do not divide the processes.
    """
    if launched():
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


def stop() -> None:
    """Leave the group."""
    if dist.is_initialized():
        dist.destroy_process_group()


def leave(code: int) -> NoReturn:
    """End the process now: gloo's threads sometimes abort an interpreter that ends in the normal way."""
    stop()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # nobody is at the other end any more
            stream.flush()
    os._exit(code)


def sum_over(world: World, values: Tensor) -> Tensor:
    """The sum over all processes, in place."""
    if world.size > 1:
        dist.all_reduce(values)
    return values


def gather(world: World, value: Any) -> list[Any]:
    """The `value` of every process, in the order of ranks, on every process."""
    values: list[Any] = [value]
    if world.size > 1:
        values = [None] * world.size
        dist.all_gather_object(values, value)
    return values


def parallelize(config: ModelConfig, settings: ParallelConfig, world: World, seed: int) -> Transformer:
    """A new model, sharded over all processes.

    Every parameter is drawn whole from its own key and each process keeps its part, so that the weights are the same on
    any number of processes; at no time is more than one whole parameter in memory.
    """
    with torch.device("meta"):
        model = Transformer(config)
    prepare(model, settings, world)
    model.to_empty(device=world.device)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            assign(parameter, initial_value(name, parameter.shape, config, seed))
    return model


def prepare(model: Transformer, settings: ParallelConfig, world: World) -> None:
    """Recompute, compile, shard, in this order: each works on what the one before made."""
    for block in model.blocks:
        if settings.recompute != "none":
            block.forward = functools.partial(checkpoint, block.forward, **_recomputation(settings.recompute))
        if settings.compile:
            block.forward = torch.compile(block.forward)
    if settings.compile:
        model.head_losses = torch.compile(model.head_losses)
    dtype = matmul_dtype(settings.dtype, world.device)
    # Casting inputs would round the rotary angles, which need float32; tokens are whole numbers anyway.
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False)
    shard = functools.partial(
        fully_shard, mesh=_mesh(settings, world), mp_policy=policy, reshard_after_forward=settings.reshard_after_forward
    )
    for block in model.blocks:
        shard(block)
    shard(model, reshard_after_forward=False)  # embedding, last norm and head: used first and last


def matmul_dtype(name: str, device: torch.device) -> torch.dtype:
    """The type of matrix products: bfloat16 where asked for, or with `auto` where a GPU has it."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if name == "bfloat16" else torch.float32


def assign(parameter: Tensor, value: Tensor) -> None:
    """Copy a whole tensor, the same on every process, into a parameter that may be sharded."""
    value = value.to(device=parameter.device, dtype=parameter.dtype)
    if isinstance(parameter, DTensor):
        # src_data_rank=None: every process cuts its own part, nothing is sent.
        parameter.copy_(distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None))
    else:
        parameter.copy_(value)


def whole(tensor: Tensor) -> Tensor:
    """The full tensor of a sharded one (all processes must ask); others as they are."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def accumulate(model: nn.Module, settings: ParallelConfig, *, last: bool) -> None:
    """Say whether the next backward pass is the last of a step, so that gradients are reduced once or each time."""
    if isinstance(model, FSDPModule) and not settings.sync_every_microbatch:
        model.set_requires_gradient_sync(last)


def _mesh(settings: ParallelConfig, world: World) -> DeviceMesh:
    if settings.replicas == 1:
        return init_device_mesh(world.device.type, (world.size,), mesh_dim_names=("shard",))
    shape = (settings.replicas, world.size // settings.replicas)
    return init_device_mesh(world.device.type, shape, mesh_dim_names=("replicate", "shard"))


def _recomputation(kind: str) -> dict[str, Any]:
    if kind == "full":
        return {"use_reentrant": False}
    contexts: Callable[[], Any] = functools.partial(create_selective_checkpoint_contexts, _keep_matmuls)
    return {"use_reentrant": False, "context_fn": contexts}


_KEPT = {
    "aten::mm", "aten::addmm", "aten::_scaled_dot_product_flash_attention",
    "aten::_scaled_dot_product_efficient_attention", "aten::_scaled_dot_product_cudnn_attention",
    "aten::_scaled_dot_product_flash_attention_for_cpu", "flex_attention",
}  # fmt: skip


def _keep_matmuls(context: Any, operator: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:  # noqa: ARG001
    """Keep what is dear to compute (matrix products, attention), compute the rest again."""
    name = operator.name() if callable(getattr(operator, "name", None)) else str(operator)
    return CheckpointPolicy.MUST_SAVE if name.split(".")[0] in _KEPT else CheckpointPolicy.PREFER_RECOMPUTE
