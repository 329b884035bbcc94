"""How probable a model finds given continuations of given contexts.

Continuations of one context share its computation: the context goes through the model once, its keys and values are
copied for each continuation. The output head, for a small model most of the work, is applied to scored tokens only.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from training.data.batches import IGNORE_INDEX
from training.losses import supervised_logits
from training.model.kv_cache import KVCache
from training.model.transformer import Transformer


@dataclasses.dataclass(frozen=True, slots=True)
class Score:
    """One continuation."""

    log_probability: float
    """Of all its tokens, in nats."""
    greedy: bool
    """Whether each token is the most probable one where it stands."""


Request = tuple[Sequence[int], Sequence[int]]
"""Context (at least one id) and continuation (at least one id)."""


@dataclasses.dataclass(slots=True)
class _Head:
    """`sparse_head_losses` that remembers which tokens were the most probable."""

    greedy: Tensor | None = None

    def __call__(self, x: Tensor, weight: Tensor, targets: Tensor, vocabulary: int) -> Tensor:
        """Loss of each row, float32 (N,), 0 where the target is IGNORE_INDEX."""
        wanted, logits = supervised_logits(x, weight, targets, vocabulary)
        losses = F.cross_entropy(logits, targets[wanted], reduction="none")
        self.greedy = torch.ones(len(x), dtype=torch.bool, device=x.device)
        self.greedy[wanted] = logits.argmax(-1) == targets[wanted]
        return torch.zeros(len(x), device=x.device).masked_scatter(wanted, losses)


@contextlib.contextmanager
def _scoring(model: Transformer) -> Iterator[_Head]:
    """`model` with a `_Head` in place of its own."""
    head, previous = _Head(), model.head_losses
    model.head_losses = head
    try:
        yield head
    finally:
        model.head_losses = previous


@torch.inference_mode()
def score(model: Transformer, requests: Sequence[Request], *, batch_tokens: int = 8192) -> list[Score]:
    """Score each continuation, in the order of `requests`.

    A request longer than the model's context keeps its end: `context_length` ids and the one they predict.

    Args:
        model: in evaluation mode.
        requests: see `Request`.
        batch_tokens: the most that goes through the model at a time, padding included.

    Raises:
        ValueError: a context or continuation is empty, or a continuation is longer than the model's context.
    """
    limit = model.config.context_length
    groups: dict[tuple[int, ...], dict[tuple[int, ...], list[int]]] = {}
    for number, (context, continuation) in enumerate(requests):
        if not context or not 1 <= len(continuation) <= limit:
            sizes = f"{len(context)} + {len(continuation)} ids"
            raise ValueError(f"request {number} has {sizes}; it needs 1 or more, and 1 to {limit}")
        start = max(0, len(context) + len(continuation) - limit - 1)
        group = groups.setdefault(tuple(context[start:]), {})
        group.setdefault(tuple(continuation), []).append(number)
    scores: dict[int, Score] = {}
    with _scoring(model) as head:
        for batch in _batches([(context, list(group)) for context, group in groups.items()], limit, batch_tokens):
            found = _score_batch(model, head, batch)
            for (context, continuations), row in zip(batch, found, strict=True):
                for continuation, one in zip(continuations, row, strict=True):
                    scores |= dict.fromkeys(groups[context][continuation], one)
    return [scores[number] for number in range(len(requests))]


def score_long(model: Transformer, requests: Sequence[Request], *, batch_tokens: int = 8192) -> list[Score]:
    """As `score`, but a continuation may be longer than the model's context.

    It is scored in pieces of `context_length` ids, each once, each after as much of what is before as fits.
    """
    limit = model.config.context_length
    pieces: list[Request] = []
    owners: list[int] = []
    for number, (context, continuation) in enumerate(requests):
        for start in range(0, max(1, len(continuation)), limit):
            before = (*context, *continuation[:start])
            pieces.append((before[-limit - 1 :], continuation[start : start + limit]))
            owners.append(number)
    totals = [Score(0.0, True) for _ in requests]
    for owner, part in zip(owners, score(model, pieces, batch_tokens=batch_tokens), strict=True):
        total = totals[owner]
        totals[owner] = Score(total.log_probability + part.log_probability, total.greedy and part.greedy)
    return totals


Group = tuple[tuple[int, ...], list[tuple[int, ...]]]
"""A context and its continuations."""


def _batches(groups: list[Group], limit: int, batch_tokens: int) -> Iterator[list[Group]]:
    """Groups of like length together, longest first; padded, none is longer than the model's context."""
    batch: list[Group] = []
    rows, context, tail = 0, 0, 0
    for group in sorted(groups, key=lambda group: (-len(group[0]), -_tail(group))):
        wider, longer = max(context, len(group[0]) - 1), max(tail, _tail(group))
        cells = (rows + len(group[1])) * (wider + longer)
        if batch and (cells > batch_tokens or wider + longer > limit):
            yield batch
            batch, rows, wider, longer = [], 0, len(group[0]) - 1, _tail(group)
        batch.append(group)
        rows, context, tail = rows + len(group[1]), wider, longer
    if batch:
        yield batch


def _tail(group: Group) -> int:
    return max(map(len, group[1]))


def _score_batch(model: Transformer, head: _Head, batch: list[Group]) -> list[list[Score]]:
    """One list per group, one score per continuation."""
    rows = [(number, continuation) for number, (_, group) in enumerate(batch) for continuation in group]
    shared = len(rows) > len(batch)
    prefixes = [context[:-1] for context, _ in batch]
    cache = _read_contexts(model, prefixes, max(map(_tail, batch))) if shared else None
    inputs, wanted = [], []
    for number, continuation in rows:
        before = () if shared else prefixes[number]
        inputs.append((*before, *batch[number][0][-1:], *continuation[:-1]))
        wanted.append((*[IGNORE_INDEX] * len(before), *continuation))
    device = model.embed.weight.device
    targets = _padded(wanted, IGNORE_INDEX, device)
    copies = None if cache is None else _copies(cache, [number for number, _ in rows])
    nats = model(_padded(inputs, 0, device), targets=targets, cache=copies).sum(dim=1).tolist()
    assert head.greedy is not None
    greedy = head.greedy.view(targets.shape).all(dim=1).tolist()
    found: list[list[Score]] = [[] for _ in batch]
    for (number, _), loss, best in zip(rows, nats, greedy, strict=True):
        found[number].append(Score(-loss, best))
    return found


def _read_contexts(model: Transformer, contexts: list[tuple[int, ...]], room: int) -> KVCache | None:
    """Keys and values of all contexts, with room for more; None where none has any."""
    longest = max(map(len, contexts))
    if longest == 0:
        return None
    device = model.embed.weight.device
    cache = KVCache.empty(model.config, len(contexts), longest + room, model.embed.weight)
    tokens = _padded(contexts, 0, device)
    model(tokens, targets=torch.full_like(tokens, IGNORE_INDEX), cache=cache)
    cache.rewind(torch.tensor([len(context) for context in contexts], device=device))
    return cache


def _copies(cache: KVCache, rows: list[int]) -> KVCache:
    """A cache whose rows are the `rows` of another."""
    index = torch.tensor(rows, device=cache.lengths.device)
    return dataclasses.replace(
        cache, keys=cache.keys[:, index], values=cache.values[:, index], lengths=cache.lengths[index]
    )


def _padded(rows: Sequence[Sequence[int]], filler: int, device: torch.device) -> Tensor:
    """int64 (rows, longest), filled up on the right."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (longest - len(row))] for row in rows], device=device)
