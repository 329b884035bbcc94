"""Text from a model: temperature, top-k, top-p and a seed, with keys and values cached.

Used by `sample`, `chat`, the samples during training and the evaluator.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from training.model.kv_cache import KVCache
from training.model.transformer import Transformer


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How the next token is chosen."""

    max_tokens: int = 256
    """Tokens generated at most; the model's context_length is a limit too."""
    temperature: float = 1.0
    """Logits are divided by it; 0 takes the likeliest token."""
    top_k: int | None = None
    """Choose among the k likeliest tokens. null: all."""
    top_p: float | None = None
    """Choose among the likeliest tokens that together have this probability. null: all."""
    seed: int = 17
    """Row r of a batch draws from (seed, r): what a prompt gets does not depend on what else is generated beside it,
    beyond rounding."""

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens: must be at least 1, got {self.max_tokens}")
        if self.temperature < 0:
            raise ValueError(f"temperature: must be at least 0, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k: must be at least 1, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p: must be above 0 and at most 1, got {self.top_p}")


def generate(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    stop: Sequence[int] = (),
    like: Tensor | None = None,
) -> list[list[int]]:
    """Go on from each prompt.

    Args:
        prompts: ids, at least one each, all together a batch; lengths may differ.
        stop: ids that end a row; the one that did is its last.
        like: a tensor with the device and type of the model's activations. None: a parameter, which is right unless
            the model is sharded; sharded, all processes must ask for the same.

    Returns:
        The new ids of each row, without the prompt.

    Raises:
        ValueError: see `stream`.
    """
    rows: list[list[int]] = [[] for _ in prompts]
    for step in stream(model, prompts, sampling, stop=stop, like=like):
        for row, token in zip(rows, step, strict=True):
            if token is not None:
                row.append(token)
    return rows


@torch.no_grad()
def stream(
    model: Transformer,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    stop: Sequence[int] = (),
    like: Tensor | None = None,
) -> Iterator[list[int | None]]:
    """As `generate`, one step at a time: the new token of each row, None for rows that have ended.

    Raises:
        ValueError: no prompt, an empty prompt, one that leaves no room in the context, or an id outside the vocabulary.
    """
    _check(model, prompts)
    like = model.embed.weight if like is None else like
    device = like.device
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    longest = int(lengths.max())
    budget = min(sampling.max_tokens, model.config.context_length - longest)
    tokens = torch.zeros(len(prompts), longest, dtype=torch.int64, device=device)
    for row, prompt in enumerate(prompts):
        tokens[row, : len(prompt)] = torch.tensor(prompt)
    cache = KVCache.empty(model.config, len(prompts), longest + budget, like)
    last = model(tokens, cache=cache)[torch.arange(len(prompts)), lengths - 1]
    cache.rewind(lengths)
    generators = [torch.Generator().manual_seed(sampling.seed * 1_000_003 + row) for row in range(len(prompts))]
    ended = [False] * len(prompts)
    for step in range(budget):
        chosen = choose(last, sampling, generators)
        yield [None if done else token for token, done in zip(chosen, ended, strict=True)]
        ended = [done or token in stop for token, done in zip(chosen, ended, strict=True)]
        if all(ended) or step + 1 == budget:
            return
        last = model(torch.tensor(chosen, device=device)[:, None], cache=cache)[:, -1]


def _check(model: Transformer, prompts: Sequence[Sequence[int]]) -> None:
    if not prompts:
        raise ValueError("nothing to go on from: no prompts")
    for row, prompt in enumerate(prompts):
        if not 0 < len(prompt) < model.config.context_length:
            room = model.config.context_length
            raise ValueError(f"prompt {row} has {len(prompt)} tokens; the context takes from 1 to {room - 1}")
        if not 0 <= min(prompt) <= max(prompt) < model.config.known_vocab_size:
            raise ValueError(f"prompt {row} has an id outside the vocabulary of {model.config.known_vocab_size}")


def choose(logits: Tensor, sampling: Sampling, generators: Sequence[torch.Generator]) -> list[int]:
    """One id for each row of logits (B, V), drawn with the row's generator.

    Draws are made on the CPU by inverting the cumulative distribution, so that a seed means the same on every device.
    """
    if sampling.temperature == 0:
        return logits.argmax(dim=-1).tolist()  # type: ignore[no-any-return]
    probabilities = restrict(logits.float() / sampling.temperature, sampling).softmax(dim=-1)
    cumulative = probabilities.cpu().double().cumsum(dim=-1)
    draws = torch.stack([torch.rand(1, generator=generator, dtype=torch.float64) for generator in generators])
    # The first id whose cumulative probability exceeds the draw; ids of probability 0 are stepped over.
    chosen = torch.searchsorted(cumulative, draws * cumulative[:, -1:], right=True)
    return chosen.clamp(max=logits.shape[-1] - 1).flatten().tolist()  # type: ignore[no-any-return]


def restrict(logits: Tensor, sampling: Sampling) -> Tensor:
    """Logits (B, V) with those outside top-k, then outside top-p, at minus infinity.

    Source of top-p: Holtzman et al. 2020, arXiv:1904.09751. The likeliest token always stays.
    """
    if sampling.top_k is not None and sampling.top_k < logits.shape[-1]:
        least = logits.topk(sampling.top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if sampling.top_p is not None and sampling.top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True)
        shares = ordered.softmax(dim=-1)
        beyond = shares.cumsum(dim=-1) - shares >= sampling.top_p
        logits = logits.masked_fill(torch.zeros_like(beyond).scatter(-1, order, beyond), -torch.inf)
    return logits
