"""Two texts side by side: which lines differ, and which words of them."""

import dataclasses
import difflib
import itertools
from collections.abc import Iterator, Sequence
from typing import Literal

Kind = Literal["same", "changed", "removed", "added", "skipped"]
Piece = tuple[str, bool]
"""Some text, and whether it differs from the other side."""

MAX_LINES, MAX_CHARACTERS, MAX_WORDS = 400, 2000, 400
"""Of a text, of a line, and of a line that is compared word by word: difflib takes quadratic time."""
CONTEXT = 1
"""Equal lines shown on each side of a difference."""


@dataclasses.dataclass(frozen=True, slots=True)
class DiffRow:
    """One line of each side; of `skipped`, the number of equal lines left out."""

    kind: Kind
    left: tuple[Piece, ...] = ()
    right: tuple[Piece, ...] = ()
    lines: int = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Diff:
    """Two texts side by side."""

    rows: tuple[DiffRow, ...]
    cut: bool
    """Whether something of the texts is left out at the end: too many lines, or too long ones."""


def diff(left: str, right: str, most_rows: int = 40) -> Diff:
    """The lines in which two texts differ, with the lines around them, at most `most_rows`."""
    (left_lines, left_cut), (right_lines, right_cut) = _lines(left), _lines(right)
    matcher = difflib.SequenceMatcher(None, left_lines, right_lines, autojunk=False)
    rows: list[DiffRow] = []
    opcodes = matcher.get_opcodes()
    for number, (tag, low, high, other_low, other_high) in enumerate(opcodes):
        if tag == "equal":
            rows += _equal(left_lines[low:high], first=number == 0, last=number == len(opcodes) - 1)
        else:
            rows += _different(left_lines[low:high], right_lines[other_low:other_high])
    return Diff(tuple(rows[:most_rows]), left_cut or right_cut or len(rows) > most_rows)


def _lines(text: str) -> tuple[list[str], bool]:
    lines = [line for line in text.split("\n", MAX_LINES + 1) if line.strip()]
    cut = len(lines) > MAX_LINES or any(len(line) > MAX_CHARACTERS for line in lines)
    return [line[:MAX_CHARACTERS] for line in lines[:MAX_LINES]], cut


def _equal(lines: Sequence[str], *, first: bool, last: bool) -> Iterator[DiffRow]:
    head, tail = 0 if first else CONTEXT, 0 if last else CONTEXT
    hidden = len(lines) - head - tail
    if hidden <= 1:
        head, tail, hidden = len(lines), 0, 0
    yield from (DiffRow("same", ((line, False),), ((line, False),)) for line in lines[:head])
    if hidden:
        yield DiffRow("skipped", lines=hidden)
    yield from (DiffRow("same", ((line, False),), ((line, False),)) for line in lines[len(lines) - tail :])


def _different(left: Sequence[str], right: Sequence[str]) -> Iterator[DiffRow]:
    for old, new in itertools.zip_longest(left, right):
        if old is None:
            yield DiffRow("added", right=((new, True),))
        elif new is None:
            yield DiffRow("removed", left=((old, True),))
        else:
            yield DiffRow("changed", *_words(old, new))


def _words(old: str, new: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """The pieces of both lines, words that differ marked."""
    left, right = old.split(" "), new.split(" ")
    if max(len(left), len(right)) > MAX_WORDS:
        return ((old, True),), ((new, True),)
    ours: list[Piece] = []
    theirs: list[Piece] = []
    for tag, low, high, other_low, other_high in difflib.SequenceMatcher(None, left, right, False).get_opcodes():
        ours += [(" ".join(left[low:high]), tag != "equal")] if high > low else []
        theirs += [(" ".join(right[other_low:other_high]), tag != "equal")] if other_high > other_low else []
    return tuple(ours), tuple(theirs)
