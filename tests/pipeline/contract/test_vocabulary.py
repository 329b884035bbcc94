"""What any tokenizer.json must keep to: its ids, its name, and that the library lives through it."""

import json

import pytest

from pipeline.contract.errors import InputError
from pipeline.contract.vocabulary import LARGEST_VOCABULARY, check_survivable, tokenizer_name, vocabulary_size


def test_gaps_between_ids_count():
    assert vocabulary_size({"a": 0}, "t") == 1
    assert vocabulary_size({"a": 0, "b": 9, "c": 3}, "t") == 10


def test_the_largest_id_and_one_more():
    assert vocabulary_size({"a": LARGEST_VOCABULARY - 1}, "t") == 16_777_216
    with pytest.raises(InputError, match="t: has ids up to 16777216; a tokenizer may have 1 to 16,777,216 of them"):
        vocabulary_size({"a": LARGEST_VOCABULARY}, "t")


@pytest.mark.parametrize("vocabulary", [{}, {"a": -1}])
def test_a_vocabulary_without_ids_is_none(vocabulary):
    with pytest.raises(InputError, match="has ids up to -1"):
        vocabulary_size(vocabulary, "t")


def test_a_content_that_kills_the_library_is_refused_every_time_and_others_are_not_looked_at():
    check_survivable(b"no JSON at all", "t.json")
    # The library frees its tree of letters by nested calls, and the stack ends.
    model = {"type": "Unigram", "vocab": [["<unk>", 0.0], ["b" * 200_000, 0.0]], "unk_id": 0}
    deadly = json.dumps({"version": "1.0", "added_tokens": [], "model": model}).encode()
    for place in ("first.json", "second.json"):
        with pytest.raises(InputError, match=f"{place}: the tokenizers library crashes on it: SIGSEGV"):
            check_survivable(deadly, place)


def test_a_tokenizer_is_named_by_its_file_or_its_folder(tmp_path, monkeypatch):
    assert tokenizer_name(tmp_path / "gpt2.json") == "gpt2"
    assert tokenizer_name(tmp_path / "gpt2/tokenizer.json") == "gpt2"
    (tmp_path / "llama").mkdir()
    monkeypatch.chdir(tmp_path / "llama")
    assert tokenizer_name(type(tmp_path)("tokenizer.json")) == "llama"
