"""Token folders as windows of T + 1 tokens, with whole documents held out for validation."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.contract.errors import ConfigError, InputError
from pipeline.contract.manifest import TokenizerInfo, sha256_file
from pipeline.contract.shards import Shard, ShardSet, open_shards
from training.config import PretrainConfig, ValidationConfig
from training.data.order import Numbers


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """Whole documents in a row within one shard: tokens start to stop."""

    shard: Shard
    start: int
    stop: int


class Windows:
    """The windows of T + 1 tokens in some spans: T inputs, and the T that follow them as targets.

    A window's last token is the next one's first, so that every token of a span but its first is a target once; what
    is left over at the end of a span is not read. A window never leaves its span.
    """

    def __init__(self, spans: Sequence[Span], length: int) -> None:
        self.spans, self.length = tuple(spans), length
        counts = [max(0, span.stop - span.start - 1) // length for span in self.spans]
        self._ends = np.cumsum(counts, dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def place(self, number: int) -> tuple[Shard, int]:
        """Shard and first token of a window."""
        which = int(np.searchsorted(self._ends, number, side="right"))
        before = int(self._ends[which - 1]) if which else 0
        return self.spans[which].shard, self.spans[which].start + (number - before) * self.length

    def covering(self, shard: Shard, start: int, stop: int) -> list[int]:
        """The windows whose T inputs have a token in common with tokens start to stop of a shard."""
        found: list[int] = []
        before = 0
        for span, after in zip(self.spans, self._ends.tolist(), strict=True):
            if span.shard is shard and start < stop:
                first = max(0, start - span.start) // self.length
                last = (stop - 1 - span.start) // self.length
                found += range(before + first, min(before + last + 1, after))
            before = after
        return found

    def tokens(self, number: int) -> Numbers:
        """The T + 1 ids of a window."""
        shard, start = self.place(number)
        return shard.tokens[start : start + self.length + 1].astype(np.int64)

    def document_ids(self, number: int) -> Numbers:
        """For each of the T inputs the number, in its shard, of the document it is read as part of.

        An end-of-text closes a document as a target and opens the next as an input: every token but the first of a
        shard is predicted from within its own document, and text generated from an end-of-text is a case that was
        trained.
        """
        shard, start = self.place(number)
        following = np.arange(start + 1, start + 1 + self.length, dtype=np.uint64)
        return np.searchsorted(shard.ends, following, side="right").astype(np.int64)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    """The opened token folders of a run."""

    sets: tuple[ShardSet, ...]
    weights: tuple[float, ...]
    train: tuple[Windows, ...]
    """Of each folder."""
    held_out: Windows | None
    tokenizer: TokenizerInfo

    @property
    def provenance(self) -> list[dict[str, Any]]:
        """Folder (absolute: a run is looked at from anywhere), weight and SHA-256 of the manifest of each source."""
        return [
            {
                "path": str(shards.folder.resolve()),
                "weight": weight,
                "sha256": sha256_file(shards.folder / "manifest.json"),
            }
            for shards, weight in zip(self.sets, self.weights, strict=True)
        ]


def open_corpus(config: PretrainConfig) -> Corpus:
    """Open all token folders of a config and set the held-out documents apart.

    Raises:
        InputError: shards that are missing or damaged, made with different tokenizers, or too few for one sequence.
        ConfigError: a held-out share that leaves nothing on one side.
    """
    sets = tuple(open_shards(source.path) for source in config.data.sources)
    tokenizer = _one_tokenizer(sets)
    length, validation = config.sequence_length, config.validation
    splits = [split_shards(shards, validation) for shards in sets]
    train = tuple(Windows(part, length) for part, _ in splits)
    for shards, windows in zip(sets, train, strict=True):
        if not len(windows):
            problem = (
                f"has too few tokens for one sequence of {length} ({shards.manifest.tokens} with the held-out ones)"
            )
            raise InputError(str(shards.folder), problem, hint="set data.sequence_length lower")
    held_out = _held_out([span for _, held in splits for span in held], validation, length, sets)
    return Corpus(
        sets=sets, weights=tuple(source.weight for source in config.data.sources), train=train, held_out=held_out,
        tokenizer=tokenizer,
    )  # fmt: skip


def _one_tokenizer(sets: Sequence[ShardSet]) -> TokenizerInfo:
    first = sets[0].manifest.tokenizer
    for shards in sets[1:]:
        other = shards.manifest.tokenizer
        if other.sha256 != first.sha256:
            problem = f"was made with the tokenizer '{other.name}' ({other.sha256[:12]})"
            hint = f"{sets[0].folder} with '{first.name}' ({first.sha256[:12]}); tokenize both with one"
            raise InputError(str(shards.folder), problem, hint=hint)
    return first


def _held_out(
    spans: Sequence[Span], validation: ValidationConfig, length: int, sets: Sequence[ShardSet]
) -> Windows | None:
    if validation.every is None:
        return None
    if validation.path is not None:
        shards = open_shards(validation.path)
        _one_tokenizer([sets[0], shards])
        spans = [Span(shard, 0, len(shard.tokens)) for shard in shards.shards]
    windows = Windows(spans, length)
    if not len(windows):
        problem = f"holds out too few tokens for one sequence of {length}"
        raise ConfigError("validation", problem, hint="hold out more, or set validation.every=null")
    return windows


def split_shards(shards: ShardSet, validation: ValidationConfig) -> tuple[list[Span], list[Span]]:
    """Training spans and held-out spans of one folder; no document is in both.

    Raises:
        ConfigError: `validation.shards` takes every shard there is.
    """
    spans = [Span(shard, 0, len(shard.tokens)) for shard in shards.shards]
    if validation.path is not None or validation.every is None:
        return spans, []
    if validation.shards is not None:
        if validation.shards >= len(spans):
            problem = f"must leave shards to train on: {shards.folder} has {len(spans)}, got {validation.shards}"
            raise ConfigError("validation.shards", problem, hint="use validation.fraction instead")
        return spans[: -validation.shards], spans[-validation.shards :]
    return _cut(spans, round(shards.manifest.tokens * (validation.fraction or 0)))


def _cut(spans: list[Span], tokens: int) -> tuple[list[Span], list[Span]]:
    """Set the last documents apart, at least `tokens` of them where that many can be had."""
    held: list[Span] = []
    rest = list(spans)
    while rest and tokens > 0:
        last = rest.pop()
        start = _document_start(last.shard, max(0, last.stop - tokens))
        held.insert(0, Span(last.shard, start, last.stop))
        tokens -= last.stop - start
        if start > 0:
            rest.append(Span(last.shard, 0, start))
    return rest, held


def _document_start(shard: Shard, position: int) -> int:
    """The start of the document that `position` belongs to."""
    number = int(np.searchsorted(shard.ends, np.uint64(position), side="right"))
    return int(shard.ends[number - 1]) if number else 0
