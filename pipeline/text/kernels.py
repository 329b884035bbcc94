"""The loops of `pipeline/text/loops.py` over numpy arrays; import this module only where text is processed."""

from collections.abc import Sequence

import numpy as np

from pipeline.text import machine_code
from pipeline.text.machine_code import I32, I64, U8, U32, U64

_LOOPS = machine_code.load("pipeline.text.loops")


def hash_words(points: U32, lengths: I32) -> U64:
    """The hashes of words that stand one after another in `points`."""
    hashes = np.empty(len(lengths), np.uint64)
    _LOOPS["hash_words"](points, lengths, len(lengths), hashes)
    return hashes


def slot_of(table: U64, key: np.uint64) -> int:
    """Where `key` stands in a table of open addressing (a power of two long, 0 is empty), or would stand."""
    return _LOOPS["find_slot"](table, len(table), int(key))


def scan_chunks(points: U32, classes: U8, signs: U8, special: U64) -> tuple[I64, I64, I32, U64, I32, U8]:
    """The runs of characters without white space, and the words of those shaped like `word`, `2024`, `word,`, `(word`.

    Args:
        points: the characters, as code points.
        classes: bits by code point; code points past its end have none, so that their chunks are looked up.
        signs: flags of the words that are one sign, by code point.
        special: table of the hashes of words that make a chunk be looked up although its shape is plain.

    Returns:
        Start and end of each chunk, its number of words (-1: look it up); hash, length and flags of the words found.
    """
    room = len(points) // 2 + 1
    starts, ends, counts = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int32)
    found, hashes, lengths = np.empty(1, np.int64), np.empty(len(points), np.uint64), np.empty(len(points), np.int32)
    flags = np.empty(len(points), np.uint8)
    chunks = _LOOPS["scan_chunks"](
        points, len(points), classes, len(classes), signs, special, len(special),
        starts, ends, counts, hashes, lengths, flags, found,
    )  # fmt: skip
    counts, words = counts[:chunks].copy(), int(found[0])
    return starts[:chunks], ends[:chunks], counts, hashes[:words].copy(), lengths[:words].copy(), flags[:words].copy()


def scan_normal(points: U32, classes: U8, normal: U32) -> tuple[I64, I64, I32, U64, I32, U8]:
    """The runs of characters without white space, and the normalized words of those that `normal` can map.

    Args:
        points: the characters, as code points.
        classes: bits by code point.
        normal: what each code point becomes, or SEPARATOR, DROPPED, LOOKED_UP. Past its end all are looked up.

    Returns:
        As `scan_chunks`; the flags are 0.
    """
    room = len(points) // 2 + 1
    starts, ends, counts = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int32)
    found, hashes, lengths = np.empty(1, np.int64), np.empty(room, np.uint64), np.empty(room, np.int32)
    chunks = _LOOPS["scan_normal"](
        points, len(points), classes, len(classes), normal, len(normal), starts, ends, counts, hashes, lengths, found
    )
    counts, words = counts[:chunks].copy(), int(found[0])
    flags = np.zeros(words, np.uint8)
    return starts[:chunks], ends[:chunks], counts, hashes[:words].copy(), lengths[:words].copy(), flags


def merge(
    counts: I32, found: tuple[U64, I32, U8], rows: I64, row_starts: I64, row_counts: I32, known: tuple[U64, I32, U8]
) -> tuple[I32, U64, I32, U8]:
    """Put the words that were looked up among those that were found.

    Args:
        counts: words of each chunk; -1 where they were looked up.
        found: hash, length and flags of the words of the other chunks.
        rows: for each chunk that was looked up its row in the table.
        row_starts, row_counts: of each row its words in `known`.

    Returns:
        Words of each chunk; hash, length and flags of all words.
    """
    per_chunk = np.empty(len(counts), np.int32)
    total = _LOOPS["count_merged"](counts, len(counts), rows, row_counts, per_chunk)
    hashes, lengths, flags = np.empty(total, np.uint64), np.empty(total, np.int32), np.empty(total, np.uint8)
    _LOOPS["merge"](counts, len(counts), per_chunk, rows, row_starts, *found, *known, hashes, lengths, flags)
    return per_chunk, hashes, lengths, flags


def count_sentences(flags: U8, per_chunk: I32, chunks_per_line: I64) -> int:
    """Sentences, counted line by line; see `Words.sentences`."""
    return _LOOPS["count_sentences"](flags, per_chunk, chunks_per_line, len(chunks_per_line))


def repeated(hashes: U64, lengths: I32, longest_top: int, longest: int) -> tuple[I64, I64]:
    """Characters in repeated runs of words, by run length; see `pipeline.text.ngrams.repeated_characters`.

    Args:
        hashes, lengths: of the words.
        longest_top: for runs from 2 to this many words the characters of the most frequent one are counted,
        longest: and for longer ones, to this many words, those of all runs met before.
    """
    tops, duplicated = np.zeros(longest + 1, np.int64), np.zeros(longest + 1, np.int64)
    words = len(hashes)
    ends = np.zeros(words + 1, np.int64)
    np.cumsum(lengths, out=ends[1:])
    room = 16
    while room < words + words // 2:
        room *= 2
    keys, stamps = np.empty(room, np.uint64), np.zeros(room, np.uint8)
    firsts, counts = np.empty(room, np.int32), np.empty(room, np.int32)
    _LOOPS["repeated"](
        hashes, words, ends, longest_top, longest,
        np.empty(words, np.uint64), keys, stamps, firsts, counts, room, tops, duplicated,
    )  # fmt: skip
    return tops, duplicated


def hash_runs(hashes: U64, n: int) -> U64:
    """One hash for each run of `n` word hashes; see `pipeline.text.ngrams.ngram_hashes`."""
    runs = np.empty(len(hashes) - n + 1, np.uint64)
    _LOOPS["hash_runs"](hashes, n, runs, len(runs))
    return runs


def visible_text(page: bytes, unseen: Sequence[str], *, start: int = 0) -> bytes:
    """What stands between the tags of an HTML page, white space folded, entities as they are.

    Args:
        page: in UTF-8, or any encoding in which ASCII characters are single bytes.
        unseen: names of elements, up to eight lower-case letters, of which the content is left out.
        start: the byte of the page to begin at.
    """
    names = np.array([int.from_bytes(name.encode("ascii"), "big") for name in unseen], np.uint64)
    source = np.frombuffer(page, np.uint8)[start:]
    text = np.empty(len(source) + 1, np.uint8)
    size = _LOOPS["visible_text"](source, len(source), names, len(names), np.zeros(len(names) + 1, np.uint8), text)
    return text[:size].tobytes()
