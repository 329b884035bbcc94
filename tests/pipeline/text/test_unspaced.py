"""Words of scripts without spaces: by dictionary, nothing lost, the same for the rules as for any other language."""

import numpy as np
import pytest

from pipeline.stages.gopher_quality import GopherQuality
from pipeline.text.features import TextFeatures
from pipeline.text.unspaced import UNSPACED, split_unspaced
from pipeline.text.words import hash_words

CHINESE = "夜里河水上涨，到了早晨，低处的草地都淹没了。"


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("zh", "低处的草地都淹没了。", "低处 的 草地 都 淹没 了 。"),
        ("yue", "低处的草地", "低处 的 草地"),
        ("ja", "吾輩は猫である。", "吾輩 は 猫 で ある 。"),
        ("th", "ประเทศไทยมีภูเขาและทะเล", "ประเทศไทย มี ภูเขา และ ทะเล"),
        ("lo", "ພາສາລາວເປັນພາສາທາງການ", "ພາສາ ລາວ ເປັນ ພາສາ ທາງການ"),
    ],
)
def test_words_are_those_of_the_dictionary(language, text, words):
    assert split_unspaced(language, [text]) == [words.split()]


@pytest.mark.parametrize("language", sorted(UNSPACED))
@pytest.mark.parametrize(
    "chunk", ["", "a", "\ud800\u4e2d", "\0\u4e2d", "abc123.de", "\u4e2d" * 5000, "\U0001f600\u200d"]
)
def test_no_character_is_lost(language, chunk):
    (words,) = split_unspaced(language, [chunk])
    assert len("".join(words)) == len(chunk)
    assert "".join(words) == chunk.replace("\ud800", "\ufffd")


def test_the_features_of_a_text_use_it_by_the_language():
    words = TextFeatures(CHINESE, language="zh").words()
    assert words.hashes.tolist() == hash_words(split_unspaced("zh", [CHINESE])[0]).tolist()
    assert len(TextFeatures(CHINESE, language="de").words()) < len(words)


def test_a_text_with_spaces_and_lines_is_the_sum_of_its_chunks():
    both = TextFeatures(f"{CHINESE}\n{CHINESE} {CHINESE}", language="zh").words()
    one = TextFeatures(CHINESE, language="zh").words()
    assert both.hashes.tolist() == np.tile(one.hashes, 3).tolist()
    assert both.per_chunk.tolist() == one.per_chunk.tolist() * 3


def test_stop_words_are_those_of_the_documents_language(make_doc):
    stage = GopherQuality(stop_words_by_language={"zh": ("的", "了", "是"), "de": ("der", "die", "und")})
    doc = make_doc(CHINESE * 5, language="zh")
    assert stage.measure(doc).signals["gopher_quality"]["stop_words"] == 2
    german = make_doc("der Hund und the cat of " * 20, language="de")
    assert stage.measure(german).signals["gopher_quality"]["stop_words"] == 2
    assert stage.measure(german.replace(language="en")).signals["gopher_quality"]["stop_words"] == 2
    assert stage.measure(german.replace(language="en", text="der und die")).signals["gopher_quality"]["stop_words"] == 0


def test_too_few_stop_words_for_a_language_are_refused():
    with pytest.raises(ValueError, match="stop_words_by_language: must be at least 2, got 1 for 'de'"):
        GopherQuality(stop_words_by_language={"de": ("der", "der")})
