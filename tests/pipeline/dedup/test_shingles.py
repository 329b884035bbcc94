import hashlib
import unicodedata

import pytest

from pipeline.dedup.shingles import BATCH_CHARACTERS, shingle

SENTENCE = "The quick brown fox jumps over 3,000 lazy dogs."


def word(number):
    """A word for a number; digits would all be normalized to 0."""
    return "w" + "".join(chr(ord("a") + int(digit)) for digit in str(number))


def digest(text):
    return shingle([text]).digests[0].tobytes()


def shingles(text, n=5):
    return shingle([text], n).shingles.tolist()


def test_values_are_the_same_in_every_version():
    found = shingle([SENTENCE, ""])
    assert found.offsets.tolist() == [0, 5, 5]
    assert found.shingles.tolist() == [
        0x4DDDBFB5187CFD77, 0x2B76E49B2C78FDA3, 0xFEADA63E4A714036, 0x4CEB0E4D7396CE8F, 0x3B94AB4E6D6BE9DA,
    ]  # fmt: skip
    normal = b"the quick brown fox jumps over 0 lazy dogs"
    assert found.digests[0].tobytes() == hashlib.blake2b(normal, digest_size=16).digest()


@pytest.mark.parametrize(
    "variant",
    [
        "THE QUICK brown fox jumps over 3,000 lazy dogs",
        "  The quick\n\nbrown\tfox jumps over 3,000   lazy dogs!!! ",
        "«The» quick - brown fox: jumps over 7 lazy dogs…",
        "The quick brówn fox jumps over 1.234.567 lazy dogs",
        "The quick bro\u00adwn fox\u200b jumps over ٣ lazy dogs",
        unicodedata.normalize("NFD", "Thé quïck brown fox jumps over 3,000 lazy dogs"),
    ],
)
def test_what_normalization_takes_away_makes_no_difference(variant):
    assert shingles(variant) == shingles(SENTENCE)
    assert digest(variant) == digest(SENTENCE)


@pytest.mark.parametrize(
    "other",
    [
        "The quick brown fox jumps over 3,000 lazy dog.",
        "The quick brown fox jumps over 3 000 lazy dogs.",
        "The quickbrown fox jumps over 3,000 lazy dogs.",
        "Quick the brown fox jumps over 3,000 lazy dogs.",
    ],
)
def test_what_remains_makes_a_difference(other):
    assert shingles(other) != shingles(SENTENCE)
    assert digest(other) != digest(SENTENCE)


def test_a_text_of_n_words_has_one_shingle_and_of_fewer_none():
    assert len(shingles("one two three four five")) == 1
    assert shingles("one two three four") == []
    assert len(shingles("one two three four", n=4)) == 1
    assert len(shingles("one two three", n=1)) == 3


def test_runs_never_cross_from_one_text_to_the_next():
    found = shingle(["a b c", "d e f g h i", "", "j k l m n"])
    assert found.offsets.tolist() == [0, 0, 2, 2, 3]
    assert found.shingles.tolist() == shingles("d e f g h i") + shingles("j k l m n")


def test_a_text_has_the_same_shingles_whatever_its_neighbours():
    texts = [" ".join(word(i * j % 97) for j in range(i * 13 % 90)) for i in range(2000)]
    texts += ["漢字 and Übung", "नमस्ते दुनिया", "\ud800 lone", "1,2.3"]
    together = shingle(texts)
    for i in (0, 1, 17, 500, 1999, 2000, 2001, 2002, 2003):
        alone = shingle([texts[i]])
        assert together.shingles[together.offsets[i] : together.offsets[i + 1]].tolist() == alone.shingles.tolist()
        assert together.digests[i].tolist() == alone.digests[0].tolist()


def test_characters_of_scripts_without_spaces_are_words():
    assert len(shingles("我能吞下玻璃", n=5)) == 2
    assert shingles("我能吞下玻璃") == shingles("我 能 吞 下 玻 璃")
    assert len(shingles("abc我def", n=3)) == 1


def test_a_text_longer_than_a_batch_is_shingled_whole():
    words = [word(i * 7919 % 100_003) for i in range(BATCH_CHARACTERS // 2)]
    spaced, lined = "  ".join(words), "\n".join(words)
    assert len(spaced) > 2 * BATCH_CHARACTERS
    found = shingle([spaced])
    assert len(found.shingles) == len(words) - 4
    assert found.shingles.tolist() == shingles(lined)
    assert digest(spaced) == digest(lined) == hashlib.blake2b(" ".join(words).encode(), digest_size=16).digest()
    middle = shingles(" ".join(words[5000:5005]))
    assert middle[0] == found.shingles[5000]


def test_a_text_without_white_space_is_bounded_too():
    found = shingle(["x" * (3 * BATCH_CHARACTERS)], 1)
    assert 1 <= len(found.shingles) <= 4


def test_texts_of_which_nothing_remains_are_equal_only_as_they_stand():
    assert digest("...") == digest("...")
    assert digest("...") != digest("!!!")
    assert digest("") != digest("...")
    assert digest("") == digest("")


def test_no_texts():
    found = shingle([])
    assert len(found.shingles) == 0
    assert found.offsets.tolist() == [0]
    assert found.digests.shape == (0, 2)


def test_every_character_has_a_class():
    codes = [*range(0x1_0000), *range(0x1_0000, 0x11_0000, 0x1_0000), 0x1F600, 0x20000, 0x10FFFF]
    assert len(shingles(" ".join(map(chr, codes)), 1)) > 50_000
