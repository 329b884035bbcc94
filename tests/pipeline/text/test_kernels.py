"""The compiled loops say what the rules written in Python say."""

from collections.abc import Sequence

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.text import characters, kernels
from pipeline.text.features import TextFeatures
from pipeline.text.word_rules import ENGLISH, SPACED, WordRules
from pipeline.text.words import ChunkTable, Words, hash_set, hash_words

PIECES = [
    *"abcXYZ0159.,;:!?()[]{}'\"’“”…-–—/@#$€%&*+=<>_~^|°§•éßÉΣςΑаЖ字あ한ﬁ²½\u0301\u200c\u2028\u3000\ud800😀 \n\t\0",
    "word", "don't", "can't", "its", "It's", "10km", "e.g.", "U.S.", "vs.", "http://", "1,234.5", "٣", "،", "...", "  ",
]  # fmt: skip
TRICKY = (
    "X. Xx. ABC. U.S. É. Σ. a. z. vs. (word (vs. (its its) word) (X) 'cause 'Twas $word %word word% +word @word #word "
    "…word word… word... Σ字 字. 字, ع، 2024 2024, (2024 20a4 ²a don't) im im, "
    "cannot. ΟΔΟΣ. İ, e\u0301. 1.5 1.5.2 1,a 1, 1. ,1"
)
TEXTS = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)


def same(one: Words, other: Words) -> bool:
    """Whether two texts have the same words, flags aside."""
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("hashes", "lengths", "per_chunk"))


@settings(max_examples=400, deadline=None)  # the first example waits for the compiler
@given(TEXTS, st.sampled_from([("en", ENGLISH), ("fr", SPACED)]))
@example(TRICKY, ("en", ENGLISH))
@example(TRICKY, ("fr", SPACED))
def test_plain_chunks_are_split_as_the_rules_would(text: str, rules: tuple[str, WordRules]) -> None:
    found = TextFeatures(text, language=rules[0]).words()
    expected = ChunkTable(rules[1].split).look_up(text)
    assert same(found, expected)
    assert found.flags.tolist() == expected.flags.tolist()


@settings(max_examples=400, deadline=None)  # the first example waits for the compiler
@given(TEXTS)
@example(TRICKY)
def test_plain_chunks_are_normalized_as_the_function_does(text: str) -> None:
    def normalize(chunks: Sequence[str]) -> list[Sequence[str]]:
        return [characters.normalized(chunk) for chunk in chunks]

    assert same(TextFeatures(text).normal_words, ChunkTable(normalize).look_up(text))


def test_a_set_holds_its_words_and_no_others() -> None:
    words = [f"word{n}" for n in range(300)]
    table = hash_set(words)
    assert all(table[kernels.slot_of(table, value)] == value for value in hash_words(words))
    assert not any(table[kernels.slot_of(table, value)] for value in hash_words([f"other{n}" for n in range(300)]))
