"""Two decoder families, one file, nothing about parallelism.

                    llama                          gpt2
    norm            RMSNorm                        LayerNorm
    positions       rotary, rotate-half layout     learned
    attention       grouped-query, no biases       multi-head, biases
    MLP             SwiGLU                         GELU (tanh)

    tokens (B, T) -> embed -> [x + attention(norm(x)); x + mlp(norm(x))] x layers -> norm -> head -> logits (B, T, V)

Sources: Radford et al. 2019 (GPT-2); Touvron et al. 2023, arXiv:2302.13971 (Llama); Su et al. 2021, arXiv:2104.09864
(RoPE); Ainslie et al. 2023, arXiv:2305.13245 (GQA); Shazeer 2020, arXiv:2002.05202 (SwiGLU). The rotate-half layout is
the one Hugging Face checkpoints have, so that export needs no permutation.

B sequences, T tokens in each, V vocab_size, D hidden_size, H num_heads, K num_kv_heads, C head_dim.
"""

import functools
from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from training.config import ModelConfig
from training.losses import HeadLoss, chunked_head_losses, dense_head_losses
from training.model.kv_cache import KVCache, Store

Mask = Tensor | BlockMask | None
"""Who sees whom: bool (B, 1, T, S), true where allowed; a FlexAttention mask; or None, plain causal."""
Rotation = tuple[Tensor, Tensor]
"""Cosine and sine of each position's angles, float32, (T, C/2) or (B, T, C/2)."""


class Transformer(nn.Module):
    """A decoder-only language model.

    Raises:
        ValueError: `config.vocab_size` is null.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.padded_vocab_size, config.hidden_size)
        self.positions = nn.Embedding(config.context_length, config.hidden_size) if config.type == "gpt2" else None
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.norm = _norm(config)
        self.head: nn.Linear | None = None
        if not config.tie_word_embeddings:
            self.head = nn.Linear(config.hidden_size, config.padded_vocab_size, bias=False)
        self.head_losses: HeadLoss = dense_head_losses

    def forward(
        self,
        tokens: Tensor,
        *,
        targets: Tensor | None = None,
        document_ids: Tensor | None = None,
        positions: Tensor | None = None,
        cache: KVCache | None = None,
        loss_chunk: int | None = None,
    ) -> Tensor:
        """Logits of the next token, or with `targets` the loss of each.

        Args:
            tokens: ids, int64 (B, T).
            targets: the id after each token, int64 (B, T); IGNORE_INDEX where nothing is to be learned.
            document_ids: int (B, T), equal for tokens of one document, documents in a row; tokens then see their own
                document alone. None: all earlier tokens.
            positions: int64 (T,) or (B, T). None: from 0, with `document_ids` from 0 in each document, with `cache`
                after what it holds.
            cache: keys and values of the tokens before; it is extended by these.
            loss_chunk: with `targets`, tokens whose logits exist at one time. None: all.

        Returns:
            Logits (B, T, V), or with `targets` float32 nats (B, T), 0 where the target is IGNORE_INDEX.

        Raises:
            ValueError: `cache` together with `document_ids`, or more tokens than it has room for.
        """
        if cache is not None and document_ids is not None:
            raise ValueError("a cache holds one document per row: document_ids cannot be given with it")
        if positions is None:
            positions = self._positions(tokens, document_ids, cache)
        x = self.embed(tokens)
        if self.positions is not None:
            x = x + self.positions(positions)
        rotation = None if self.positions is not None else rotary(positions, self.config)
        mask = cache.extend(positions) if cache is not None else document_mask(document_ids)
        for number, block in enumerate(self.blocks):
            x = block(x, rotation, mask, None if cache is None else functools.partial(cache.store, number, positions))
        x = self.norm(x)
        weight = self.embed.weight if self.head is None else self.head.weight
        if targets is None:
            return F.linear(x, weight[: self.config.known_vocab_size])
        losses = chunked_head_losses(
            self.head_losses, x.flatten(0, 1), weight, targets.flatten(), self.config.known_vocab_size, chunk=loss_chunk
        )
        # clone: FSDP hangs its backward hook on what a model returns, and a view would not keep it
        return losses.view(targets.shape).clone()

    def _positions(self, tokens: Tensor, document_ids: Tensor | None, cache: KVCache | None) -> Tensor:
        steps = torch.arange(tokens.shape[1], device=tokens.device)
        if cache is not None:
            return cache.lengths[:, None] + steps
        return steps if document_ids is None else positions_in_documents(document_ids)


class Block(nn.Module):
    """Attention and MLP, each after a norm and added to the residual stream."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention_norm = _norm(config)
        self.attention = Attention(config)
        self.mlp_norm = _norm(config)
        self.mlp = SwiGLU(config) if config.type == "llama" else GeluMLP(config)

    def forward(self, x: Tensor, rotation: Rotation | None, mask: Mask, store: Store | None = None) -> Tensor:
        x = x + self.attention(self.attention_norm(x), rotation, mask, store)
        return x + self.mlp(self.mlp_norm(x))  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Causal self-attention with H query heads and K key and value heads."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.head_dim = config.effective_head_dim
        bias, hidden = config.type == "gpt2", config.hidden_size
        queries, keys = config.num_heads * self.head_dim, config.effective_num_kv_heads * self.head_dim
        self.q = nn.Linear(hidden, queries, bias=bias)
        self.k = nn.Linear(hidden, keys, bias=bias)
        self.v = nn.Linear(hidden, keys, bias=bias)
        self.o = nn.Linear(queries, hidden, bias=bias)

    def forward(self, x: Tensor, rotation: Rotation | None, mask: Mask, store: Store | None) -> Tensor:
        q, k, v = (project(x).unflatten(-1, (-1, self.head_dim)) for project in (self.q, self.k, self.v))
        if rotation is not None:
            q, k = rotate(q, rotation), rotate(k, rotation)
        if store is not None:
            k, v = store(k, v)
        y = attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), mask)
        return self.o(y.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x))."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate = nn.Linear(config.hidden_size, config.effective_intermediate_size, bias=False)
        self.up = nn.Linear(config.hidden_size, config.effective_intermediate_size, bias=False)
        self.down = nn.Linear(config.effective_intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))  # type: ignore[no-any-return]


class GeluMLP(nn.Module):
    """down(gelu(up(x))), GELU in its tanh form, as GPT-2 has it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.hidden_size, config.effective_intermediate_size)
        self.down = nn.Linear(config.effective_intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x), approximate="tanh"))  # type: ignore[no-any-return]


def _norm(config: ModelConfig) -> nn.Module:
    if config.type == "gpt2":
        return nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
    return nn.RMSNorm(config.hidden_size, eps=config.norm_eps)


def rotary(positions: Tensor, config: ModelConfig) -> Rotation:
    """Cosine and sine of position x frequency, for `rotate`; float32: bfloat16 cannot tell late positions apart."""
    size = config.effective_head_dim
    exponents = torch.arange(0, size, 2, device=positions.device, dtype=torch.float32) / size
    angles = positions[..., None].float() / config.rope_theta**exponents
    return angles.cos(), angles.sin()


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn each pair (x[i], x[i + C/2]) of (B, T, heads, C) by its position's angle."""
    cosine, sine = (part.unsqueeze(-2) for part in rotation)
    first, second = x.float().chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1).to(x.dtype)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
    """Scaled dot-product attention of q (B, H, T, C) to k and v (B, K, S, C): (B, H, T, C)."""
    grouped = q.shape[1] != k.shape[1]
    if isinstance(mask, BlockMask):
        # Uncompiled it would build the whole (T, T) matrix; inside a compiled block it is compiled with the rest.
        flex = cast(Any, flex_attention) if torch.compiler.is_compiling() else _compiled_flex()
        return cast(Tensor, flex(q, k, v, block_mask=mask, enable_gqa=grouped))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None, enable_gqa=grouped)


def document_mask(document_ids: Tensor | None) -> Mask:
    """The mask that keeps each token within its document: FlexAttention's on CUDA, which skips the blocks nobody sees;
    elsewhere a bool tensor, since FlexAttention has no backward pass on a CPU."""
    if document_ids is None:
        return None
    return flex_document_mask(document_ids) if document_ids.is_cuda else dense_document_mask(document_ids)


def dense_document_mask(document_ids: Tensor) -> Tensor:
    """bool (B, 1, T, T): earlier or same token, and same document."""
    length = document_ids.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=document_ids.device).tril()
    return (causal & (document_ids[:, :, None] == document_ids[:, None, :]))[:, None]


def flex_document_mask(document_ids: Tensor) -> BlockMask:
    """The same for FlexAttention, kept as the list of 128 x 128 blocks that have anything in them."""

    def visible(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:  # noqa: ARG001 - the API's shape
        return (query >= key) & (document_ids[batch, query] == document_ids[batch, key])

    batch, length = document_ids.shape
    return _compiled_block_mask()(visible, batch, None, length, length, device=document_ids.device)


@functools.cache
def _compiled_flex() -> Callable[..., Any]:
    return torch.compile(flex_attention, dynamic=False)  # type: ignore[no-any-return]


@functools.cache
def _compiled_block_mask() -> Callable[..., BlockMask]:
    return torch.compile(create_block_mask, dynamic=False)  # type: ignore[no-any-return]


def positions_in_documents(document_ids: Tensor) -> Tensor:
    """How many tokens of its document come before each token, int64 (B, T)."""
    steps = torch.arange(document_ids.shape[1], device=document_ids.device).expand(document_ids.shape)
    starts = torch.ones_like(document_ids, dtype=torch.bool)
    starts[:, 1:] = document_ids[:, 1:] != document_ids[:, :-1]
    return steps - torch.where(starts, steps, 0).cummax(dim=1).values
