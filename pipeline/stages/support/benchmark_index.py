"""Benchmark items as sorted n-gram hashes, loaded once per process."""

import dataclasses
import functools
import json
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.text.features import TextFeatures

U64 = npt.NDArray[np.uint64]

_ODD = np.uint64(0x9E3779B97F4A7C15)


class Item(NamedTuple):
    """One question of a benchmark."""

    benchmark: str
    """Name of its file, without folder."""
    id: str
    """Its field `id`, or its line number."""
    question: str
    choices: tuple[str, ...]
    """A page may hold the question alone or any choice behind it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Grams:
    """All n-grams of one length, sorted, repeated once per item that has them."""

    hashes: U64
    items: npt.NDArray[np.int64]
    """The item of each, an index into `BenchmarkIndex.items`."""
    filter: npt.NDArray[np.bool_]
    """Whether any hash has these leading bits: one look-up rules out nearly every n-gram of a page."""
    shift: int

    def contains(self, hashes: U64) -> npt.NDArray[np.bool_]:
        """Which of `hashes` are among them, shape of `hashes`."""
        found: npt.NDArray[np.bool_] = self.filter[hashes >> np.uint64(self.shift)]
        maybe = np.flatnonzero(found)
        if not len(maybe):
            return found
        place = np.searchsorted(self.hashes, hashes[maybe])
        place[place == len(self.hashes)] = 0
        found[maybe] = self.hashes[place] == hashes[maybe]
        return found

    def items_of(self, value: np.uint64) -> list[int]:
        """The items that have the n-gram `value`."""
        first, last = np.searchsorted(self.hashes, value, "left"), np.searchsorted(self.hashes, value, "right")
        return [int(item) for item in self.items[first:last]]


@dataclasses.dataclass(frozen=True, slots=True)
class BenchmarkIndex:
    """The n-grams of all benchmarks."""

    items: tuple[Item, ...]
    grams: dict[int, Grams]
    """By length in words."""
    unchecked: tuple[int, ...]
    """Items without any n-gram to look for: too short, or made of words that many items share."""


def read_items(path: str, fields: Sequence[str]) -> Iterator[Item]:
    """The items of a JSON lines file that have at least one of `fields`.

    String fields are joined in the order of `fields`; each string of a list is a choice, put after them. `a.b` is field
    b of field a.

    Raises:
        ValueError: the file is missing, is not JSON lines, or no item has any of the fields.
    """
    try:
        mode = Path(path).stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # a pipe never ends to be waited for, /dev/zero to be read
            raise ValueError(f"cannot read {path}: not a regular file")
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    known: set[str] = set()
    any_item = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        row = _row(path, number, line)
        known.update(row)
        question, choices = _texts(row, fields)
        if question or choices:
            any_item = True
            yield Item(Path(path).name, str(row.get("id", number)), question, choices)
    if not known:
        raise ValueError(f"{path}: holds no items")
    if not any_item:
        raise ValueError(
            f"{path}: no item has any of the fields {', '.join(fields)}; it has {', '.join(sorted(known))}"
        )


def runs(words: U64, lengths: Iterable[int]) -> Iterator[tuple[int, U64]]:
    """For each length, ascending, one hash for each run of that many words, shape (words - length + 1,).

    A polynomial in an odd constant modulo 2**64 over the hashes of the words: the longer run goes on from the shorter.
    Lengths that the words do not reach are left out.
    """
    hashes, length = words.copy(), 1
    for wanted in sorted(lengths):
        if wanted > len(words):
            return
        while length < wanted:
            hashes = hashes[:-1] * _ODD + words[length:]
            length += 1
        yield wanted, hashes


def covered(item: Item, shared: Mapping[int, U64]) -> float:
    """The share of an item's words that lie in a shared n-gram, of the question alone or with the best choice.

    Args:
        item: the question.
        shared: n-grams found elsewhere, sorted, by their length.
    """
    question = _words(item.question)
    texts = (question, *(np.concatenate([question, _words(choice)]) for choice in item.choices))
    return max(_covered(words, shared) for words in texts)


def _covered(words: U64, shared: Mapping[int, U64]) -> float:
    inside = np.zeros(len(words), np.bool_)
    for length, hashes in runs(words, shared):
        for place in np.flatnonzero(np.isin(hashes, shared[length])).tolist():
            inside[place : place + length] = True
    return float(inside.mean()) if len(words) else 0.0


@functools.lru_cache(maxsize=4)
def load_index(paths: tuple[str, ...], fields: tuple[str, ...], n: int, min_ngram: int, most: int) -> BenchmarkIndex:
    """The n-grams of all items of `paths`; see `Decontaminate` for the rules.

    Raises:
        ValueError: as `read_items`.
    """
    items = tuple(item for path in paths for item in read_items(path, fields))
    found: dict[int, list[tuple[U64, int]]] = {}
    for number, item in enumerate(items):
        question = _words(item.question)
        for words in (question, *(np.concatenate([question[1 - n :], _words(choice)]) for choice in item.choices)):
            length = min(n, len(words))
            if length >= min_ngram:
                found.setdefault(length, []).append((_telling(words, length), number))
    grams = {length: _sorted(rows, most) for length, rows in sorted(found.items())}
    checked = {int(item) for entry in grams.values() for item in entry.items}
    return BenchmarkIndex(items, grams, tuple(i for i in range(len(items)) if i not in checked))


def _words(text: str) -> U64:
    return TextFeatures(text).normal_words.hashes


def _row(path: str, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:  # RecursionError: brackets without end
        raise ValueError(f"{path}, line {number}: not valid JSON ({error})") from error
    if not isinstance(row, dict):
        raise ValueError(f"{path}, line {number}: expected an object of fields")
    return row


def _texts(row: dict[str, Any], fields: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The string fields joined, and the strings of the lists."""
    strings: list[str] = []
    choices: list[str] = []
    for field in fields:
        value: Any = row
        for key in field.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, str) and value.strip():
            strings.append(value)
        elif isinstance(value, list):
            choices += [choice for choice in value if isinstance(choice, str) and choice.strip()]
    return " ".join(strings), tuple(dict.fromkeys(choices))


def _telling(words: U64, length: int) -> U64:
    """Hashes of the n-grams at least half of whose words differ.

    A row of numbers (all written 0 by the normalization) or a word said over and over is no sign of anything.
    """
    [(_, grams)] = runs(words, (length,))
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(words, length), axis=1)
    distinct = 1 + np.count_nonzero(windows[:, 1:] != windows[:, :-1], axis=1)
    telling: U64 = grams[2 * distinct >= length]
    return telling


def _sorted(rows: list[tuple[U64, int]], most: int) -> Grams:
    """Each n-gram once per item that has it, without those of more than `most` items."""
    hashes = np.concatenate([grams for grams, _ in rows])
    items = np.repeat(np.array([item for _, item in rows], np.int64), [len(grams) for grams, _ in rows])
    order = np.lexsort((items, hashes))
    hashes, items = hashes[order], items[order]
    first = np.ones(len(hashes), np.bool_)
    first[1:] = (hashes[1:] != hashes[:-1]) | (items[1:] != items[:-1])
    hashes, items = hashes[first], items[first]
    _, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    few = counts[inverse] <= most
    hashes, items = hashes[few], items[few]
    bits = max(10, (8 * len(hashes)).bit_length())
    table = np.zeros(1 << bits, np.bool_)
    table[hashes >> np.uint64(64 - bits)] = True
    return Grams(hashes, items, table, 64 - bits)
