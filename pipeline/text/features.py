"""The lazily computed features of one text, shared by every filter and by MinHash.

Words are split in one of two ways (`word_split`): `fast`, our own rules (word_rules.py), or `datatrove`, the splitter
that datatrove's filters use for the language (spaCy's, for English), for exact agreement. It costs some seconds and
200 MB more at the start, and more time per page for words not met before.
"""

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import compress
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline.contract.errors import ConfigError
from pipeline.text import characters
from pipeline.text.ngrams import ngram_hashes, repeated_characters
from pipeline.text.unspaced import UNSPACED, split_unspaced
from pipeline.text.word_rules import ENGLISH, MAX_CHUNK, SPACED, cut_inside
from pipeline.text.words import U64, ChunkTable, Split, Words, concatenate, hash_set

WordSplit = Literal["fast", "datatrove"]

PIECE = 1 << 20
"""Characters split at a time: the strings of a huge text never stand in memory all at once."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACE = re.compile(r"\s")


class TextFeatures:
    """Lines, words, sentences and shingles of one text, each computed at most once.

    Args:
        text: any text: empty, one endless line, with NULs or lone surrogates.
        language: ISO 639-1 code, which chooses how words are split; empty counts as English.
    """

    def __init__(self, text: str, *, language: str = "") -> None:
        self.text = text
        self.language = language
        self._words: dict[WordSplit, Words] = {}

    @cached_property
    def lines(self) -> list[str]:
        """What stands between newline characters, blank lines and spaces included."""
        return self.text.split("\n")

    def words(self, word_split: WordSplit = "fast") -> Words:
        """The words, punctuation marks included, in order."""
        words = self._words.get(word_split)
        if words is None:
            table = _table(word_split, self.language or "en")
            words = self._words[word_split] = _look_up(table, self.text)
        return words

    @cached_property
    def normal_words(self) -> Words:
        """The words MinHash sees: lower case, numbers as 0, no symbols, no diacritics (FineWeb's normalization)."""
        return _look_up(_normal_table(), self.text)

    def shingles(self, n: int = 5) -> U64:
        """Hashes of all runs of `n` normalized words, in order, repeats included.

        Shape (max(words - n + 1, 1),), and (0,) where the text has no word; a text of fewer than `n` words has one
        shingle, of them all. Equal for equal runs on every machine, in every process and version.
        """
        return ngram_hashes(self.normal_words.hashes, n)

    def inherit(self, parent: "TextFeatures", chunks: npt.NDArray[np.bool_]) -> None:
        """Take over the words of a longer text of which only `chunks` (a mask) are left, instead of splitting again."""
        self._words = {word_split: words.in_chunks(chunks) for word_split, words in parent._words.items()}


def prepare() -> None:
    """Compile the loops, or load them, and fill the tables.

    Done once before workers start it spares each of them the compiler: 5 s of CPU on a machine's first run.
    """
    features = TextFeatures("One word, (another) and 1,234 others.")
    words = features.words()
    words.sentences([len(words.per_chunk)])
    repeated_characters(words)
    features.shingles()


def _look_up(table: ChunkTable, text: str) -> Words:
    if len(text) <= PIECE:
        return table.look_up(text)
    return concatenate([(table.look_up(piece), glued) for piece, glued in _pieces(text)])


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """The text in pieces, cut at white space if there is any, and whether a piece goes on with the word before it."""
    start = 0
    while start < len(text):
        space = _SPACE.search(text, start + PIECE, start + 2 * PIECE)
        end = space.start() if space else start + 2 * PIECE
        yield text[start:end], start > 0 and not text[start - 1].isspace() and not text[start].isspace()
        start = end


@functools.cache
def _table(word_split: WordSplit, language: str) -> ChunkTable:
    if word_split == "datatrove":
        return ChunkTable(_datatrove_split(language))
    if language in UNSPACED:
        return ChunkTable(functools.partial(split_unspaced, language))
    return _fast_table(language == "en")


@functools.cache
def _fast_table(english: bool) -> ChunkTable:
    from pipeline.text.kernels import scan_chunks

    rules = ENGLISH if english else SPACED
    tables = characters.classes(), characters.sign_flags(), hash_set(rules.exceptions)
    return ChunkTable(rules.split, lambda points: scan_chunks(points, *tables))


def _datatrove_split(language: str) -> Split:
    """The splitter of datatrove's filters for `language`.

    Raises:
        ConfigError: datatrove has none, or it needs a package that is not installed.
    """
    from datatrove.utils.word_tokenizers import load_word_tokenizer

    try:
        tokenize: Callable[[str], list[str]] = load_word_tokenizer(language).word_tokenize
        tokenize("a")
    except (ValueError, ImportError) as error:
        problem = f"datatrove cannot split words of the language '{language}': {error}"
        raise ConfigError("word_split: datatrove", problem, hint="use word_split: fast") from error
    return functools.partial(_split_by, tokenize)


def _split_by(tokenize: Callable[[str], list[str]], chunks: Sequence[str]) -> list[Sequence[str]]:
    """All chunks in one call, its words dealt out to the chunks again by their lengths.

    Two kinds of chunk are left to our rules: very long ones, because taking signs off one by one makes spaCy quadratic
    (1.6 s for 4,000 of them), and those with a lone surrogate, which it refuses.
    """
    fit = [len(chunk) <= MAX_CHUNK and not _SURROGATE.search(chunk) for chunk in chunks]
    splittable = list(compress(chunks, fit))
    words = tokenize("\n".join(splittable))
    if "".join(words) != "".join(splittable):  # a tokenizer that changes or leaves out characters
        words_of = iter([tokenize(chunk) for chunk in splittable])
    else:
        remaining = iter(words)
        words_of = iter([_take(remaining, len(chunk)) for chunk in splittable])
    return [next(words_of) if fits else cut_inside(chunk) for chunk, fits in zip(chunks, fit, strict=True)]


def _take(words: Iterator[str], size: int) -> list[str]:
    """The next words that together have `size` characters."""
    taken: list[str] = []
    while size > 0:
        taken.append(next(words))
        size -= len(taken[-1])
    return taken


@functools.cache
def _normal_table() -> ChunkTable:
    from pipeline.text.kernels import scan_normal

    tables = characters.classes(), characters.normal_points()
    return ChunkTable(
        lambda chunks: list(map(characters.normalized, chunks)), lambda points: scan_normal(points, *tables)
    )
