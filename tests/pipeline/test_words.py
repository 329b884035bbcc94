"""The table of chunks, and what it knows of a word."""

from collections.abc import Sequence

import numpy as np
import pytest

from pipeline import words as words_module
from pipeline.words import ALPHA, PUNCTUATION, SYMBOL, TERMINAL, ChunkTable, Words, concatenate, flags_of, stable_hash


def by_letter(chunks: Sequence[str]) -> list[Sequence[str]]:
    """Each letter a word, `-` none."""
    return [tuple(chunk.replace("-", "")) for chunk in chunks]


@pytest.mark.parametrize(
    ("word", "flags"),
    [
        ("word", ALPHA),
        ("Wörter", ALPHA),
        ("n't", ALPHA),
        ("3rd", ALPHA),
        ("2024", 0),
        (".", SYMBOL | PUNCTUATION | TERMINAL),
        ("。", SYMBOL | PUNCTUATION | TERMINAL),
        ("...", SYMBOL | PUNCTUATION),
        ('"', SYMBOL | PUNCTUATION),
        ("$", SYMBOL),
        ("•", PUNCTUATION),
        ("€", 0),
    ],
)
def test_flags_of_a_word(word: str, flags: int) -> None:
    assert flags_of(word) == flags


def test_word_hashes_are_the_same_in_every_version() -> None:
    assert stable_hash("word") == 16415117739589131349
    assert stable_hash("\ud800") == 15756832317056903632


def test_a_table_answers_the_same_however_often_it_is_asked() -> None:
    table = ChunkTable(by_letter)
    first = table.look_up(["ab", "-", "c", "ab"])
    again = table.look_up(["ab", "-", "c", "ab"])
    assert first.per_chunk.tolist() == again.per_chunk.tolist() == [2, 0, 1, 2]
    assert first.hashes.tolist() == again.hashes.tolist() == [stable_hash(letter) for letter in "abcab"]
    assert first.lengths.tolist() == again.lengths.tolist() == [1] * 5


def test_a_table_splits_a_chunk_once_but_forgets_long_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def split(chunks: Sequence[str]) -> list[Sequence[str]]:
        asked.extend(chunks)
        return [(chunk,) for chunk in chunks]

    table = ChunkTable(split)
    edge, long = "x" * words_module.MAX_REMEMBERED_CHUNK, "x" * (words_module.MAX_REMEMBERED_CHUNK + 1)
    table.look_up([edge, long, edge])
    table.look_up([edge, long])
    assert asked == [edge, long, long]


def test_a_table_starts_over_when_full_and_answers_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words_module, "MAX_REMEMBERED_WORDS", 3)
    table = ChunkTable(by_letter)
    for chunks in (["ab"], ["cd"], ["ab", "ef"], ["ab"]):
        assert table.look_up(chunks).hashes.tolist() == [stable_hash(letter) for letter in "".join(chunks)]


def test_a_table_outlives_an_interrupted_lesson() -> None:
    attempts = iter([True, False])

    def split(chunks: Sequence[str]) -> list[Sequence[str]]:
        if next(attempts):
            raise TimeoutError
        return [(chunk,) for chunk in chunks]

    table = ChunkTable(split)
    with pytest.raises(TimeoutError):
        table.look_up(["a", "b"])
    assert table.look_up(["b", "a"]).hashes.tolist() == [stable_hash("b"), stable_hash("a")]


def test_no_chunks_have_no_words() -> None:
    assert len(ChunkTable(by_letter).look_up([])) == 0


def test_words_of_some_chunks_only() -> None:
    found = ChunkTable(by_letter).look_up(["ab", "-", "c", "de"])
    kept = found.only(np.array([False, True, True, True]))
    assert kept.hashes.tolist() == [stable_hash(letter) for letter in "cde"]
    assert kept.per_chunk.tolist() == [0, 1, 2]


def test_pieces_of_a_text_are_put_together_and_a_cut_chunk_is_one() -> None:
    table = ChunkTable(by_letter)
    pieces = [(table.look_up(["ab", "c"]), False), (table.look_up(["d", "e"]), True), (table.look_up(["f"]), False)]
    whole = concatenate(pieces)
    assert whole.hashes.tolist() == [stable_hash(letter) for letter in "abcdef"]
    assert whole.per_chunk.tolist() == [2, 2, 1, 1]


def lines(*texts: str) -> tuple[Words, list[int]]:
    """Words and chunks per line of texts whose words are set apart by spaces."""
    table = ChunkTable(lambda chunks: [(chunk,) for chunk in chunks])
    return table.look_up(" ".join(texts).split()), [len(text.split()) for text in texts]


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
