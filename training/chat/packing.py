"""Conversations into rows of equal length, without one seeing another.

A conversation of L ids fills L - 1 cells: its inputs are its ids but the last, its targets its ids but the first.
Several share a row; each has its own document number (attention stays within it) and positions from 0. Best fit,
longest first: a conversation goes into the fullest row that still takes it, else opens a new one. The result depends
on the lengths and their order alone.

A conversation longer than a row is cut after the last turn of the assistant that fits; if none fits it is left out.
Both are counted.
"""

import bisect
import collections
import dataclasses
import heapq
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from training.chat.format import RenderedConversation
from training.data.batches import IGNORE_INDEX


@dataclasses.dataclass(frozen=True, slots=True)
class PackedRows:
    """All arrays have shape (rows, length)."""

    tokens: npt.NDArray[np.int32]
    targets: npt.NDArray[np.int32]
    """The next id where it is learned, else IGNORE_INDEX."""
    document_ids: npt.NDArray[np.int32]
    """0, 1, 2... within a row; -1 for padding."""
    positions: npt.NDArray[np.int32]
    """0, 1, 2... within a conversation, and 0 for padding."""

    def supervised(self) -> npt.NDArray[np.int64]:
        """Learned targets of each row, shape (rows,)."""
        counts: npt.NDArray[np.int64] = np.count_nonzero(self.targets != IGNORE_INDEX, axis=1)
        return counts

    def padding(self) -> float:
        """The share of cells that hold nothing."""
        return float(np.mean(self.document_ids < 0)) if self.tokens.size else 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class FittedConversations:
    """What is left of the conversations when none is longer than a row."""

    kept: list[RenderedConversation]
    positions: list[int]
    """Where each kept one stood in the input."""
    truncated: int
    """Cut after a turn of the assistant."""
    too_long: int
    """Left out: no learned turn ends within a row."""
    unsupervised: int
    """Left out: nothing in it is learned (all weights 0)."""


def fit_conversations(conversations: Sequence[RenderedConversation], length: int) -> FittedConversations:
    """Cut each conversation to at most `length` + 1 ids (`length` cells), after a learned turn."""
    kept, positions, counts = [], [], collections.Counter[str]()
    for position, rendered in enumerate(conversations):
        if not rendered.supervised.any():
            counts["unsupervised"] += 1
            continue
        end = _last_learned_turn(rendered, length + 1)
        if end == 0:
            counts["too_long"] += 1
            continue
        counts["truncated"] += len(rendered.ids) > length + 1
        kept.append(rendered.cut(end))
        positions.append(position)
    return FittedConversations(kept, positions, counts["truncated"], counts["too_long"], counts["unsupervised"])


def _last_learned_turn(rendered: RenderedConversation, limit: int) -> int:
    """The end of the last turn that ends within `limit` ids and is learned, or 0; what follows teaches nothing."""
    ends = [end for end in rendered.turn_ends if end <= limit and rendered.supervised[end - 1]]
    return ends[-1] if ends else 0


def best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """The items of each row, best fit by decreasing length; ties by position and by age of the row.

    Args:
        lengths: cells that each item needs, 1 to `capacity`.
        capacity: cells of a row.

    Returns:
        Positions in `lengths`, row by row, in the order they were put in.

    Raises:
        ValueError: an item has no length or does not fit.
    """
    rows: list[list[int]] = []
    free: list[int] = []  # room values that some row has, ascending
    by_room: dict[int, list[int]] = {}  # room -> heap of row numbers
    for item in sorted(range(len(lengths)), key=lambda item: (-lengths[item], item)):
        size = lengths[item]
        if not 1 <= size <= capacity:
            raise ValueError(f"item {item} has length {size}; a row takes 1 to {capacity}")
        at = bisect.bisect_left(free, size)
        if at < len(free):
            room = free[at]
            row = heapq.heappop(by_room[room])
            if not by_room[room]:
                del by_room[room], free[at]
        else:
            room, row = capacity, len(rows)
            rows.append([])
        rows[row].append(item)
        if left := room - size:
            if left not in by_room:
                by_room[left] = []
                bisect.insort(free, left)
            heapq.heappush(by_room[left], row)
    return rows


def pack(conversations: Sequence[RenderedConversation], length: int, pad_id: int) -> PackedRows:
    """Rows of `length` cells.

    Args:
        conversations: each of 2 to `length` + 1 ids with something learned (see `fit_conversations`).
        length: cells of a row.
        pad_id: the input of cells that hold nothing.

    Raises:
        ValueError: a conversation is too long, or has nothing learned.
    """
    for number, rendered in enumerate(conversations):
        if not rendered.supervised[1:].any():
            raise ValueError(f"conversation {number} has no learned token")
    rows = best_fit([len(rendered.ids) - 1 for rendered in conversations], length)
    tokens = np.full((len(rows), length), pad_id, np.int32)
    targets = np.full((len(rows), length), IGNORE_INDEX, np.int32)
    document_ids = np.full((len(rows), length), -1, np.int32)
    positions = np.zeros((len(rows), length), np.int32)
    for row, items in enumerate(rows):
        start = 0
        for document, item in enumerate(items):
            rendered = conversations[item]
            end = start + len(rendered.ids) - 1
            tokens[row, start:end] = rendered.ids[:-1]
            targets[row, start:end] = np.where(rendered.supervised[1:], rendered.ids[1:], IGNORE_INDEX)
            document_ids[row, start:end] = document
            positions[row, start:end] = np.arange(end - start)
            start = end
    return PackedRows(tokens, targets, document_ids, positions)
