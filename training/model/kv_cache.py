"""Keys and values of tokens that went through the model already, for generation and for scoring."""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from training.config import ModelConfig

Store = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Takes the new keys and values of one layer (B, T, K, C), returns all of them so far (B, S, K, C)."""


@dataclasses.dataclass(kw_only=True, slots=True)
class KVCache:
    """Keys and values of the tokens before; the slot of a token is its position, so rows may differ in length."""

    keys: Tensor
    """(layers, B, capacity, K, C)."""
    values: Tensor
    lengths: Tensor
    """Tokens held in each row, int64 (B,). After a padded prefill set it to the true lengths: what lies beyond is
    never seen, and overwritten by what follows."""
    used: int = 0
    """Slots in use in the longest row, at most."""

    @classmethod
    def empty(cls, config: ModelConfig, batch: int, capacity: int, like: Tensor) -> "KVCache":
        """Room for `capacity` tokens in each of `batch` rows, with the type and device of `like` (a parameter)."""
        shape = (config.num_layers, batch, capacity, config.effective_num_kv_heads, config.effective_head_dim)
        lengths = torch.zeros(batch, dtype=torch.int64, device=like.device)
        return cls(keys=like.new_zeros(shape), values=like.new_zeros(shape), lengths=lengths)

    def extend(self, positions: Tensor) -> Tensor:
        """Make room for tokens at `positions` (B, T); the mask by which they see all slots up to their own."""
        self.used += positions.shape[1]
        if self.used > self.keys.shape[2]:
            raise ValueError(f"the cache has room for {self.keys.shape[2]} tokens, asked to hold {self.used}")
        self.lengths = self.lengths + positions.shape[1]
        slots = torch.arange(self.used, device=positions.device)
        return (slots <= positions[..., None])[:, None]

    def store(self, layer: int, positions: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Put one layer's new keys and values (B, T, K, C) at `positions`; all that the layer holds."""
        rows = torch.arange(len(keys), device=keys.device)[:, None]
        self.keys[layer][rows, positions] = keys.to(self.keys.dtype)
        self.values[layer][rows, positions] = values.to(self.values.dtype)
        return self.keys[layer, :, : self.used], self.values[layer, :, : self.used]

    def rewind(self, lengths: Tensor) -> None:
        """Forget all but the first `lengths` (B,) tokens of each row."""
        self.lengths = lengths.to(self.lengths)
        self.used = int(self.lengths.max())
