"""What single characters and words are."""

import unicodedata

import pytest

from pipeline.text import characters
from pipeline.text.characters import (
    ALPHA,
    DROPPED,
    LOOKED_UP,
    PUNCTUATION,
    SEPARATOR,
    SYMBOL,
    TERMINAL,
    flags_of,
    normalized,
)


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


@pytest.mark.parametrize(
    ("chunk", "words"),
    [
        ("Word", ["word"]),
        ("Don't", ["don", "t"]),
        ("«ÉTÉ»", ["ete"]),
        ("1,234.5", ["0", "0"]),
        ("v2.10b", ["v0b"]),
        ("٣٫٤", ["0"]),
        ("ΟΔΟΣ", ["οδος"]),
        ("İstanbul", ["istanbul"]),
        ("e\u0301", ["e"]),
        ("...", []),
        ("", []),
    ],
)
def test_normalized_words(chunk: str, words: list[str]) -> None:
    assert normalized(chunk) == words


def test_the_tables_say_what_the_functions_say() -> None:
    classes, normal = characters.classes(), characters.normal_points()
    assert len(classes) == len(normal) == characters.TABLE
    assert all(point < characters.TABLE for point in range(0x110000) if chr(point).isspace())
    assert classes[ord("a")] == characters.LETTER | characters.LOWER
    assert classes[ord("A")] == characters.LETTER
    assert classes[ord("\u3000")] == characters.SPACE
    assert classes[ord("(")] == characters.OPENS | characters.CLOSES
    assert classes[ord("%")] == characters.OPENS
    assert [int(normal[ord(char)]) for char in "Aé7! "] == [ord("a"), ord("e"), ord("0"), SEPARATOR, SEPARATOR]
    assert normal[0x301] == DROPPED
    assert normal[ord("Σ")] == normal[ord("٣")] == LOOKED_UP
    for point, becomes in enumerate(normal.tolist()):
        if becomes > LOOKED_UP and not chr(point).isdecimal():
            assert normalized(chr(point)) == [chr(becomes)], unicodedata.name(chr(point), hex(point))
