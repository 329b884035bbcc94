"""Sharding, casting, activation checkpointing and compilation: everything the model file does not know about."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from training.config import ModelConfig, ParallelConfig
from training.model.initialization import initial_value
from training.model.transformer import Transformer
from training.runtime.distributed import World, copy_full_tensor


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
            copy_full_tensor(parameter, initial_value(name, parameter.shape, config, seed))
    return model


def prepare(model: Transformer, settings: ParallelConfig, world: World) -> None:
    """Recompute, compile, shard, in this order: each works on what the one before made."""
    for block in model.blocks:
        if settings.activation_checkpointing != "none":
            options = _checkpoint_options(settings.activation_checkpointing)
            block.forward = functools.partial(checkpoint, block.forward, **options)
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


def set_gradient_sync(model: nn.Module, settings: ParallelConfig, *, last: bool) -> None:
    """Say whether the next backward pass is the last of a step, so that gradients are reduced once or each time."""
    if isinstance(model, FSDPModule) and not settings.sync_every_microbatch:
        model.set_requires_gradient_sync(last)


def _mesh(settings: ParallelConfig, world: World) -> DeviceMesh:
    if settings.replicas == 1:
        return init_device_mesh(world.device.type, (world.size,), mesh_dim_names=("shard",))
    shape = (settings.replicas, world.size // settings.replicas)
    return init_device_mesh(world.device.type, shape, mesh_dim_names=("replicate", "shard"))


def _checkpoint_options(kind: str) -> dict[str, Any]:
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
