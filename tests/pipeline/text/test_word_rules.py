"""Every rule that makes one chunk several words, with a neighbour that stays whole."""

import pytest

from pipeline.text.word_rules import ENGLISH, MAX_CHUNK, SPACED

ENGLISH_CASES = {
    "word": "word",
    "word,": "word ,",
    '("word")': '( " word " )',
    "don't": "do n't",
    "don’t": "do n’t",
    "dont": "do nt",
    "couldn't've": "could n't 've",
    "wouldn't": "would n't",
    "cannot": "can not",
    "Cannot": "Can not",
    "I'm": "I 'm",
    "they'll": "they 'll",
    "its": "its",
    "it's": "it 's",
    "dog's": "dog 's",
    "dogs'": "dogs '",
    "well": "well",
    "well-known": "well - known",
    "2010-2012": "2010 - 2012",
    "a--b": "a -- b",
    "either/or": "either / or",
    "and/or": "and/or",
    "x:y": "x : y",
    "12:30": "12:30",
    "a,b": "a , b",
    "1,234": "1,234",
    "end.Next": "end . Next",
    "www.site.example": "www.site.example",
    "https://site.example/a?b=c,": "https://site.example/a?b=c ,",
    "name@site.example": "name@site.example",
    "U.S.": "U.S.",
    "NASA.": "NASA .",
    "e.g.": "e.g.",
    "word.": "word .",
    "wait...": "wait ...",
    "...wait": "... wait",
    "wait…what": "wait … what",
    "10km": "10 km",
    "10km²": "10 km²",
    "km": "km",
    "10pm": "10 pm",
    "13pm": "13pm",
    "$5": "$ 5",
    "5€": "5 €",
    "US$5": "US$ 5",
    "100%": "100 %",
    "+5": "+5",
    "+x": "+ x",
    ":-)": ":-)",
    "f():": "f ( ):",
    "(foo)bar": "( foo)bar",
    "good😀": "good 😀",
    "20°C.": "20 ° C .",
    "C++": "C++",
}


@pytest.mark.parametrize(("chunk", "words"), ENGLISH_CASES.items())
def test_an_english_chunk_is_split_into_these_words(chunk: str, words: str) -> None:
    assert list(ENGLISH.split([chunk])[0]) == words.split()


def test_contractions_are_english_and_nothing_else() -> None:
    assert list(ENGLISH.split(["im"])[0]) == ["i", "m"]
    assert list(SPACED.split(["im"])[0]) == ["im"]  # a German preposition


@pytest.mark.parametrize("chunk", ["!" * (MAX_CHUNK + 1), "a@" * MAX_CHUNK, "a-" * 3000 + "a", "é" * 2000])
def test_a_chunk_no_human_wrote_loses_no_character(chunk: str) -> None:
    assert "".join(ENGLISH.split([chunk])[0]) == chunk


def test_signs_come_off_the_ends_up_to_the_longest_ordinary_chunk() -> None:
    assert len(ENGLISH.split(["!" * MAX_CHUNK])[0]) == MAX_CHUNK
    assert len(ENGLISH.split(["!" * (MAX_CHUNK + 1)])[0]) == 1
