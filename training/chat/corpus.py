"""Conversations as packed rows: read, split, rendered, packed, and checked before anything is learned."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.contract.errors import InputError
from pipeline.contract.manifest import sha256_file
from training.chat.conversations import Conversation, load_conversations
from training.chat.format import ChatFormat
from training.chat.packing import PackedRows, fit_conversations, pack
from training.data.batches import IGNORE_INDEX
from training.sft_config import SftConfig

PORTION = 4096
"""Conversations encoded at a time."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """The rows of one side of the data."""

    rows: PackedRows
    counts: Mapping[str, int]
    """conversations, truncated, too_long, unsupervised, rows, tokens, supervised."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ChatCorpus:
    """Everything a run learns from and is measured on."""

    train: Split
    held_out: Split | None
    skipped: Mapping[str, int]
    """Lines that are no conversation, by cause."""
    files: Sequence[Mapping[str, str]]
    """Path and SHA-256 of each file."""

    def describe(self) -> str:
        """What was read, in a line."""
        counts = self.train.counts
        share = counts["supervised"] / max(1, counts["tokens"])
        left_out = {name: counts[name] for name in ("truncated", "too_long", "unsupervised") if counts[name]}
        notes = "".join(f", {count} {name.replace('_', ' ')}" for name, count in {**left_out, **self.skipped}.items())
        return (
            f"{counts['conversations']:,} conversations in {counts['rows']:,} rows ({self.train.rows.padding():.1%} "
            f"padding), {share:.1%} of {counts['tokens']:,} tokens learned{notes}"
        )


def open_chat(config: SftConfig, format: ChatFormat, length: int) -> ChatCorpus:
    """Read, split, render, pack and check.

    Raises:
        InputError: a file or line that cannot be used; no conversation left on one side; a row that fails `check_rows`.
    """
    skip = config.data.bad_lines == "skip"
    train_files, other_files = [Path(p) for p in config.data.train], [Path(p) for p in config.validation.files]
    conversations, skipped = load_conversations(train_files, skip_bad=skip)
    fraction = config.validation.fraction or 0.0
    held_out = [one for one in conversations if one.draw(config.seed) < fraction]
    train = [one for one in conversations if one.draw(config.seed) >= fraction]
    if other_files:
        more, more_skipped = load_conversations(other_files, skip_bad=skip)
        held_out += more
        skipped = {cause: skipped.get(cause, 0) + more_skipped.get(cause, 0) for cause in {**skipped, **more_skipped}}
    files = [{"path": str(path), "sha256": sha256_file(path)} for path in [*train_files, *other_files]]
    return ChatCorpus(
        train=_split(train, format, length, "data.train"),
        held_out=_split(held_out, format, length, "validation") if held_out else None,
        skipped=skipped,
        files=files,
    )


def _split(conversations: Sequence[Conversation], format: ChatFormat, length: int, name: str) -> Split:
    rendered = []
    for start in range(0, len(conversations), PORTION):
        rendered += format.render_all([one.messages for one in conversations[start : start + PORTION]])
    fitted = fit_conversations(rendered, length)
    if not fitted.kept:
        problem = f"{len(conversations)} conversations, of which none can be learned from"
        lost = f"{fitted.too_long} have no reply within {length} tokens, {fitted.unsupervised} have nothing to learn"
        raise InputError(name, problem, hint=lost)
    rows = pack(fitted.kept, length, format.pad_id)
    check_rows(rows, format, name)
    counts = {
        "conversations": len(fitted.kept),
        "truncated": fitted.truncated,
        "too_long": fitted.too_long,
        "unsupervised": fitted.unsupervised,
        "rows": len(rows.tokens),
        "tokens": int((rows.document_ids >= 0).sum()),
        "supervised": int(rows.supervised().sum()),
    }
    return Split(rows=rows, counts=counts)


def check_rows(rows: PackedRows, format: ChatFormat, name: str) -> None:
    """The gate: refuse rows that would teach the wrong thing in silence. Looks at the rows, not at how they were made.

    Raises:
        InputError: nothing learned in a row; a reply whose end is not learned; a conversation without exactly one
            end-of-text, at its start; a role, padding or end-of-text token learned; a target that is not the next id.
    """
    learned, inside = rows.targets != IGNORE_INDEX, rows.document_ids >= 0
    same = np.zeros_like(inside)
    same[:, :-1] = inside[:, 1:] & (rows.document_ids[:, 1:] == rows.document_ids[:, :-1])
    follows = np.zeros_like(rows.tokens)
    follows[:, :-1] = rows.tokens[:, 1:]
    goes_on = np.zeros_like(learned)
    goes_on[:, :-1] = learned[:, 1:] & same[:, :-1]
    never = [*format.role_ids.values(), format.pad_id, format.bos_id]
    starts = rows.positions == 0
    _refuse(name, "has no learned token", ~learned.any(axis=1, keepdims=True))
    _refuse(name, "learns a cell that holds nothing", learned & ~inside)
    _refuse(name, "learns a role, padding or end-of-text token", learned & np.isin(rows.targets, never))
    _refuse(name, "learns another id than the next", learned & same & (rows.targets != follows))
    _refuse(name, "does not learn the end of a reply", learned & ~goes_on & (rows.targets != format.end_of_turn_id))
    wrong = inside & (starts != (rows.tokens == format.bos_id))
    _refuse(name, "has a conversation without exactly one end-of-text, at its start", wrong)


def _refuse(name: str, problem: str, wrong: Any) -> None:
    if wrong.any():
        row, cell = np.argwhere(wrong)[0]
        raise InputError(name, f"row {row} {problem} (cell {cell}; {int(wrong.sum())} such)")
