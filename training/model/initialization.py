"""The weights of a new model: a function of the seed and each parameter's name."""

import hashlib
import math

import torch
from torch import Tensor

from training.config import ModelConfig
from training.model.transformer import Transformer


def initial_value(name: str, shape: torch.Size, config: ModelConfig, seed: int) -> Tensor:
    """A new model's parameter, float32 on the CPU: a function of (seed, name, shape), whatever else exists.

    Biases 0, norms 1, the rest normal with std `init_std`, except: projections into the residual stream (`o`, `down`)
    init_std / sqrt(2 x layers), so that its variance does not grow with depth (Radford et al. 2019); learned positions
    init_std / 2, as in GPT-2's code; padding rows of the vocabulary 0.
    """
    if name.endswith("bias"):
        return torch.zeros(shape)
    if "norm" in name:
        return torch.ones(shape)
    std = config.init_std
    if name.endswith(("attention.o.weight", "mlp.down.weight")):
        std /= math.sqrt(2 * config.num_layers)
    elif name == "positions.weight":
        std /= 2
    key = int.from_bytes(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest(), "little") >> 1
    value = torch.empty(shape).normal_(0, std, generator=torch.Generator().manual_seed(key))
    if name in ("embed.weight", "head.weight"):
        value[config.known_vocab_size :] = 0
    return value


def initialize(model: Transformer, seed: int) -> Transformer:
    """Give every parameter of a plain (unsharded) model its `initial_value`."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(initial_value(name, parameter.shape, model.config, seed))
    return model


def new_model(config: ModelConfig, seed: int) -> Transformer:
    """A plain model with new weights, float32 on the CPU."""
    with torch.device("meta"):
        model = Transformer(config)
    return initialize(model.to_empty(device="cpu"), seed)
