"""The table of chunks, and what it knows of a word."""

from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.text import words as words_module
from pipeline.text.words import ChunkTable, Words, concatenate, hash_words


def hashes(*words: str) -> list[int]:
    """The hashes of words."""
    return hash_words(words).tolist()


def by_letter(chunks: Sequence[str]) -> list[Sequence[str]]:
    """Each letter a word, `-` none."""
    return [tuple(chunk.replace("-", "")) for chunk in chunks]


def test_word_hashes_are_the_same_in_every_version() -> None:
    assert hash_words(["word", "", "\ud800", "字"]).tolist() == [
        2796471943249615862,
        0,
        3753895066460332260,
        2954706426357270536,
    ]


def test_a_table_answers_the_same_however_often_it_is_asked() -> None:
    table = ChunkTable(by_letter)
    first = table.look_up("ab - c ab")
    again = table.look_up("ab - c ab")
    assert first.per_chunk.tolist() == again.per_chunk.tolist() == [2, 0, 1, 2]
    assert first.hashes.tolist() == again.hashes.tolist() == hashes(*"abcab")
    assert first.lengths.tolist() == again.lengths.tolist() == [1] * 5


def test_a_table_splits_a_chunk_once_but_forgets_long_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def split(chunks: Sequence[str]) -> list[Sequence[str]]:
        asked.extend(chunks)
        return [(chunk,) for chunk in chunks]

    table = ChunkTable(split)
    edge, long = "x" * words_module.MAX_REMEMBERED_CHUNK, "x" * (words_module.MAX_REMEMBERED_CHUNK + 1)
    table.look_up(f"{edge} {long} {edge}")
    table.look_up(f"{edge} {long}")
    assert asked == [edge, long, long]


def test_a_table_starts_over_when_full_and_answers_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words_module, "MAX_REMEMBERED_WORDS", 3)
    table = ChunkTable(by_letter)
    for chunks in (["ab"], ["cd"], ["ab", "ef"], ["ab"]):
        assert table.look_up(" ".join(chunks)).hashes.tolist() == hashes(*"".join(chunks))


def test_a_table_outlives_an_interrupted_lesson() -> None:
    attempts = iter([True, False])

    def split(chunks: Sequence[str]) -> list[Sequence[str]]:
        if next(attempts):
            raise TimeoutError
        return [(chunk,) for chunk in chunks]

    table = ChunkTable(split)
    with pytest.raises(TimeoutError):
        table.look_up("a b")
    assert table.look_up("b a").hashes.tolist() == hashes("b", "a")


def test_no_chunks_have_no_words() -> None:
    assert len(ChunkTable(by_letter).look_up("")) == 0


def test_words_of_some_chunks_only() -> None:
    found = ChunkTable(by_letter).look_up("ab - c de")
    kept = found.in_chunks(np.array([False, True, True, True]))
    assert kept.hashes.tolist() == hashes(*"cde")
    assert kept.per_chunk.tolist() == [0, 1, 2]


def test_pieces_of_a_text_are_put_together_and_a_cut_chunk_is_one() -> None:
    table = ChunkTable(by_letter)
    pieces = [(table.look_up("ab c"), False), (table.look_up("d e"), True), (table.look_up("f"), False)]
    whole = concatenate(pieces)
    assert whole.hashes.tolist() == hashes(*"abcdef")
    assert whole.per_chunk.tolist() == [2, 2, 1, 1]


def lines(*texts: str) -> tuple[Words, list[int]]:
    """Words and chunks per line of texts whose words are set apart by spaces."""
    table = ChunkTable(lambda chunks: [(chunk,) for chunk in chunks])
    return table.look_up(" ".join(texts)), [len(text.split()) for text in texts]


@pytest.mark.parametrize(
    ("texts", "sentences"),
    [
        ([], 0),
        ([""], 0),
        (["one"], 1),
        (["one ."], 1),
        (["one . two"], 2),
        (["one . two ."], 2),
        (['one . " two'], 2),
        (['one . "'], 1),
        (["one ! ? ) two"], 2),
        (["one ... two"], 1),
        (["one . $ two"], 2),  # a currency sign is no punctuation: it begins the sentence
        ([". one"], 2),
        (["one .", "two"], 2),
        (["one . two", "", "three ? four ."], 4),
    ],
)
def test_sentences(texts: list[str], sentences: int) -> None:
    words, chunks_per_line = lines(*texts)
    assert words.sentences(chunks_per_line) == sentences
