"""Features of a text: the same everywhere, computed once, for any text at all."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from pipeline.contract.errors import ConfigError
from pipeline.document import Document
from pipeline.text import features as text_module
from pipeline.text.features import TextFeatures
from pipeline.text.words import hash_words


def hashes(*words: str) -> list[int]:
    """The hashes of words."""
    return hash_words(words).tolist()


def test_words_hold_punctuation_marks() -> None:
    words = TextFeatures("Don't stop, please.").words()
    assert words.hashes.tolist() == hashes("Do", "n't", "stop", ",", "please", ".")
    assert words.lengths.tolist() == [2, 3, 4, 1, 6, 1]
    assert words.per_chunk.tolist() == [2, 2, 2]


def test_words_are_computed_once() -> None:
    features = TextFeatures("some words")
    assert features.words() is features.words()


def test_normal_words_are_lower_case_without_symbols_diacritics_and_digits() -> None:
    words = TextFeatures("Café-Bar «ÉTÉ»\t1,234.5 don’t…").normal_words
    assert words.hashes.tolist() == hashes("cafe", "bar", "ete", "0", "0", "don", "t")


def test_white_space_does_not_change_a_shingle() -> None:
    assert TextFeatures("a  b\n\nc\u00a0d e").shingles().tolist() == TextFeatures("a b c d e").shingles().tolist()


def test_shingles_are_the_same_in_every_version() -> None:
    assert TextFeatures("Don't stop 1,234 Café").shingles(2).tolist() == [
        1571027090921085486,
        8632114787678001776,
        17353223399555916714,
        1837177982405727407,
    ]
    assert TextFeatures("one two").shingles(5).tolist() == [12942547774280497523]


def test_shingles_are_the_same_in_another_process() -> None:
    code = (
        "from pipeline.text.features import TextFeatures; print(TextFeatures('to be or not to be').shingles().tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(TextFeatures("to be or not to be").shingles().tolist())


@pytest.mark.parametrize(
    ("text", "count"), [("", 0), (" \n", 0), ("... !", 0), ("a", 1), ("a b c d e", 1), ("a b c d e f", 2)]
)
def test_number_of_shingles(text: str, count: int) -> None:
    assert TextFeatures(text).shingles().shape == (count,)


@pytest.mark.parametrize(
    "text", ["", "a", "\0", "a\0b \0", "\ud800 word \udfff", "!?! ###", "\u200b\ufeff", "文字だけ。", "\n" * 9]
)
def test_any_text_has_features(text: str) -> None:
    features = TextFeatures(text)
    words = features.words()
    assert int(words.lengths.sum()) == sum(map(len, text.split()))
    assert words.per_chunk.sum() == len(words)
    assert features.shingles().shape[0] <= max(len(features.normal_words), 0)


@pytest.mark.parametrize(
    "text", ["one two. " * 40, "x" * 300, "a " * 20 + "y" * 90 + " b" * 20, " " * 200, "ab\u2028c " * 50]
)
def test_a_huge_text_is_split_in_pieces_without_a_trace(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, shingles = TextFeatures(text).words(), TextFeatures(text).shingles()
    monkeypatch.setattr(text_module, "PIECE", 50)
    pieces = TextFeatures(text)
    assert pieces.words().per_chunk.shape == whole.per_chunk.shape
    assert int(pieces.words().lengths.sum()) == int(whole.lengths.sum())
    if max(map(len, text.split()), default=0) < 50:  # no chunk had to be cut
        assert pieces.words().hashes.tolist() == whole.hashes.tolist()
        assert pieces.shingles().tolist() == shingles.tolist()


def test_english_contractions_are_split_in_english_only() -> None:
    assert len(TextFeatures("im", language="en").words()) == 2
    assert len(TextFeatures("im").words()) == 2
    assert len(TextFeatures("im", language="de").words()) == 1


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_datatrove_split_is_that_of_datatrove(language: str) -> None:
    from datatrove.utils.text import split_into_words

    text = "Im Jahr 2024, don't ask (e.g. the U.S.), f():  10km\u00a0– \n\n C'est fini...\t" + "!" * 30
    found = TextFeatures(text, language=language).words("datatrove")
    assert found.hashes.tolist() == hashes(*split_into_words(text, language))


def test_a_language_without_a_datatrove_splitter_is_the_users_mistake() -> None:
    with pytest.raises(ConfigError, match="language 'xx-none'"):
        TextFeatures("word", language="xx-none").words("datatrove")


@pytest.mark.parametrize("chunk", ["\ud800.", "!" * 9000])
def test_what_the_datatrove_splitter_cannot_take_is_split_by_our_rules(chunk: str) -> None:
    words = TextFeatures(f"don't {chunk} stop.").words("datatrove")
    assert words.hashes.tolist() == hashes("do", "n't", chunk, "stop", ".")


def test_a_tokenizer_that_changes_characters_is_asked_chunk_by_chunk() -> None:
    def tokenize(text: str) -> list[str]:
        return text.replace("ß", "ss").split()

    assert text_module._split_by(tokenize, ["Straße", "b", "x" * 999]) == [["Strasse"], ["b"], ["x" * 999]]


def test_a_document_recomputes_its_features_for_another_text_or_language(make_doc: Callable[..., Document]) -> None:
    doc = make_doc("im Haus", language="de")
    assert doc.features is doc.features
    assert doc.replace(url="https://other.example/").features is doc.features
    assert len(doc.replace(language="en").features.words()) == 3
    assert len(doc.features.words()) == 2
    assert doc.replace(text="ein Wort mehr").features.text == "ein Wort mehr"


def test_after_preparing_once_no_process_loads_the_compiler() -> None:
    code = (
        "import sys; from pipeline.text import features; features.prepare(); print({'numba', 'scipy'} & {*sys.modules})"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)]
    assert runs[1].stdout.strip() == "set()"
