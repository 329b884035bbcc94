"""Answers of quantized fastText classifiers (`.ftz`, such as lid.176.ftz), at a fifth of the library's time.

The same arithmetic in the same order, so that label and score are the library's; what is faster is the search for the
n-grams of a word (Joulin et al. 2016, arXiv:1607.01759 and 1612.03651), a compiled loop over one table instead of a
string and two hash maps for each. Only one kind of model is read: quantized input, hierarchical softmax, no word
n-grams. For others, and for texts with a label or a NUL in them, `load` and `answer` give None: ask the library.
`tests/pipeline/stages/support/test_quantized_fasttext.py` compares the two.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.text import machine_code
from pipeline.text.machine_code import F32, I32, U8

_MAGIC, _VERSION = 793712314, 12
_HIERARCHICAL_SOFTMAX, _SUPERVISED = 1, 3
_CENTROIDS = 256
_LABEL = "__label__"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """A model as arrays."""

    labels: tuple[str, ...]
    """Without `__label__`."""
    shape: I32
    """Words, buckets, shortest and longest n-gram, parts of a vector, size of a part, labels, row of the line's end."""
    words: tuple[I32, I32, U8]
    """Table of rows by FNV-1a hash (-1: empty); where each word begins in the bytes; the bytes."""
    ngrams: tuple[I32, I32]
    """Table of buckets (-1: empty), and the row of each."""
    codes: tuple[U8, F32, F32]
    """Codes of each row, the centroids, the norm of each row."""
    tree: tuple[I32, F32]
    """Left and right child of each inner node of the Huffman tree, by number; its weights."""

    def answer(self, line: str) -> tuple[str, float] | None:
        """The likeliest label of one line and its probability, 0 to 1; None: ask the library."""
        if "\0" in line or _LABEL in line:
            return None
        text = np.frombuffer(f"<{line.replace(' ', '> <')}>".encode(), np.uint8)
        hidden, scores = np.zeros(self.shape[4] * self.shape[5], np.float32), np.empty(2 * self.shape[6], np.float32)
        best = machine_code.load("pipeline.text.loops_fasttext")["classify"](
            text, len(text), self.shape, self.words[0], len(self.words[0]), *self.words[1:],
            self.ngrams[0], len(self.ngrams[0]), self.ngrams[1], *self.codes, *self.tree, hidden, scores,
        )  # fmt: skip
        return (self.labels[best], float(scores[best])) if best >= 0 else None


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += struct.calcsize("<" + layout)
        return values

    def array(self, dtype: npt.DTypeLike, count: int) -> npt.NDArray[Any]:
        found = np.frombuffer(self.data, dtype, count, self.at)
        self.at += found.nbytes
        return found.copy()

    def text(self) -> bytes:
        end = self.data.index(0, self.at)
        found, self.at = self.data[self.at : end], end + 1
        return found


def load(path: Path) -> Quantized | None:
    """The model in a file; None if it is another kind of model, or none at all."""
    try:
        return _parsed(_Reader(path.read_bytes()))
    except (struct.error, ValueError, IndexError):
        return None


def _parsed(file: _Reader) -> Quantized | None:
    if file.take("ii") != (_MAGIC, _VERSION):
        return None
    dim, _, _, _, _, word_ngrams, loss, model, buckets, shortest, longest, _ = file.take("12i")
    file.take("d")
    if (word_ngrams, loss, model) != (1, _HIERARCHICAL_SOFTMAX, _SUPERVISED) or longest < 1:
        return None
    entries, words, labels, _, pruned = file.take("iiiqq")
    if pruned < 0:
        return None
    names, counts = [], []
    for _ in range(entries):
        names.append(file.text())
        counts.append(file.take("qb")[0])
    pairs = file.array("<i4", 2 * pruned).reshape(-1, 2)
    if not file.take("?")[0]:
        return None
    with_norm, rows, _, size = file.take("?qqi")
    codes = file.array(np.uint8, size)
    parts, part = _shape(file, dim)
    centroids = file.array("<f4", dim * _CENTROIDS)
    norms = np.ones(rows, np.float32)
    if with_norm:
        norm_codes = file.array(np.uint8, rows)
        _shape(file, 1)
        norms = file.array("<f4", _CENTROIDS)[norm_codes]
    if file.take("?")[0]:
        return None
    out_rows, out_columns = file.take("qq")
    weights = file.array("<f4", out_rows * out_columns)
    if (out_rows, out_columns) != (labels, dim) or file.at != len(file.data):
        return None
    end = names.index(b"</s>") if b"</s>" in names[:words] else -1
    numbers = [words, buckets, shortest, longest, parts, part, labels, end]
    return Quantized(
        labels=tuple(name.decode("utf-8", "replace").removeprefix(_LABEL) for name in names[words:]),
        shape=np.array(numbers, np.int32), words=_word_table(names[:words]), ngrams=_ngram_table(pairs),
        codes=(codes, centroids, norms), tree=(_huffman(counts[words:]), weights),
    )  # fmt: skip


def _shape(file: _Reader, dim: int) -> tuple[int, int]:
    """Parts of a product quantizer, and their size; one whose last part is smaller is not read."""
    found, parts, part, last = file.take("4i")
    if found != dim or parts * part != dim or last != part:
        raise ValueError("an uneven quantizer")
    return parts, part


def _word_table(names: list[bytes]) -> tuple[I32, I32, U8]:
    starts = np.cumsum([0, *map(len, names)]).astype(np.int32)
    data = np.frombuffer(b"".join(names), np.uint8)
    table = np.full(1 << (4 * len(names)).bit_length(), -1, np.int32)
    machine_code.load("pipeline.text.loops_fasttext")["fill_words"](starts, data, len(names), table, len(table))
    return table, starts, data


def _ngram_table(pairs: npt.NDArray[np.int32]) -> tuple[I32, I32]:
    keys = np.full(1 << (2 * len(pairs)).bit_length(), -1, np.int32)
    rows = np.zeros(len(keys), np.int32)
    machine_code.load("pipeline.text.loops_fasttext")["fill_ngrams"](
        pairs.reshape(-1), len(pairs), keys, rows, len(keys)
    )
    return keys, rows


def _huffman(counts: list[int]) -> I32:
    """Children of the inner nodes of the tree fastText builds of its labels, which stand most frequent first."""
    size = len(counts)
    weights = [*counts, *([10**15] * (size - 1))]
    children = np.zeros(2 * (size - 1), np.int32)
    leaf, node = size - 1, size
    for made in range(size, 2 * size - 1):
        for side in range(2):
            if leaf >= 0 and weights[leaf] < weights[node]:
                chosen, leaf = leaf, leaf - 1
            else:
                chosen, node = node, node + 1
            children[2 * (made - size) + side] = chosen
        weights[made] = sum(weights[child] for child in children[2 * (made - size) : 2 * (made - size) + 2])
    return children
