"""Parameters and floating-point operations of a model, and how many a GPU does in a second."""

import re

import torch

from training.config import ModelConfig
from training.model.transformer import Transformer

_PEAKS = (
    (r"\bGB200\b", 2500.0), (r"\bB200\b", 2250.0),
    (r"\bH200 NVL\b", 835.5), (r"\b(G?H200)\b", 989.4),
    (r"\bH100 PCIe\b", 756.5), (r"\bH100 NVL\b", 835.5), (r"\bH100\b", 989.4), (r"\bH800\b", 989.4),
    (r"\bH20\b", 148.0),
    (r"\b(A100|A800)\b", 312.0), (r"\bA40\b", 149.7), (r"\bA10\b", 125.0), (r"\bA30\b", 165.0),
    (r"\bL40S\b", 362.0), (r"\bL4\b", 121.0),
)  # fmt: skip
"""Dense bfloat16 TFLOP/s by a pattern for the device's name, from NVIDIA's data sheets (half of a figure given "with
sparsity"); the first that matches counts."""


def parameter_count(config: ModelConfig, *, embeddings: bool = True) -> int:
    """Trainable numbers without vocabulary padding; without `embeddings` the blocks and last norm alone."""
    with torch.device("meta"):
        model = Transformer(config)
    total = sum(parameter.numel() for parameter in model.parameters())
    tables = sum(
        p.numel() for name, p in model.named_parameters() if name.split(".")[0] in ("embed", "positions", "head")
    )
    if not embeddings:
        return total - tables
    padding = (config.padded_vocab_size - config.known_vocab_size) * config.hidden_size
    return total - padding * (1 if config.tie_word_embeddings else 2)


def flops_per_token(config: ModelConfig, sequence_length: int) -> float:
    """Floating-point operations of one trained token, forward and backward: 6N + 12 L H C T.

    N are the weights of matrix products: blocks and head (once, if tied), not the look-ups of tokens and positions.
    Attention counts every pair, without the half that the causal mask spares; recomputed activations do not count.
    Source: Chowdhery et al. 2022, arXiv:2204.02311, appendix B.
    """
    heads = 2 * config.num_heads + 2 * config.effective_num_kv_heads  # of q and o, of k and v
    attention = config.hidden_size * config.effective_head_dim * heads
    mlp = config.hidden_size * config.effective_intermediate_size * (3 if config.type == "llama" else 2)
    weights = config.num_layers * (attention + mlp) + config.hidden_size * config.known_vocab_size
    return 6.0 * weights + 12.0 * config.num_layers * config.num_heads * config.effective_head_dim * sequence_length


def peak_flops(device_name: str) -> float | None:
    """Dense bfloat16 operations per second of a GPU; None for one that is not in the table, never a guess."""
    if re.search(r"\bMIG\b", device_name):  # a slice of a GPU
        return None
    for pattern, teraflops in _PEAKS:
        if re.search(pattern, device_name):
            return teraflops * 1e12
    return None
