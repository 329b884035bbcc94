"""Training a tokenizer: complete, deterministic, readable by the loader."""

import pytest

from pipeline.contract.errors import InputError
from pipeline.tokens.bpe_training import train_tokenizer
from pipeline.tokens.tokenizer import load_tokenizer

TEXTS = [f"the miller and the mill number {i} grind 1234567 grains of wheat, don't they?\n\n" for i in range(60)]


def test_bytes_come_first_and_every_text_survives_the_round_trip(tmp_path):
    train_tokenizer(TEXTS, vocabulary_size=300, path=tmp_path / "mill.json")
    tokenizer = load_tokenizer(tmp_path / "mill.json")
    assert tokenizer.info.vocabulary_size == 300
    assert (tokenizer.end_of_text, tokenizer.info.end_of_text_id) == ("<|endoftext|>", 0)
    for text in ["Ünïcode \U0001f600 \x00\t", "the <|endoftext|> mill", "  "]:
        assert tokenizer.decode(tokenizer.encode([text])[0]) == text


def test_the_order_of_the_texts_and_the_number_of_threads_change_nothing(tmp_path, monkeypatch):
    train_tokenizer(TEXTS, vocabulary_size=320, path=tmp_path / "a.json")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    train_tokenizer(reversed(TEXTS), vocabulary_size=320, path=tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_cl100k_words_hold_three_digits_at_most(tmp_path):
    for split, words in (("gpt2", [" 1234567"]), ("cl100k", [" ", "123", "456", "7"])):
        train_tokenizer(TEXTS, vocabulary_size=600, path=tmp_path / f"{split}.json", split=split)
        tokenizer = load_tokenizer(tmp_path / f"{split}.json")
        assert tokenizer.pieces(tokenizer.encode([" 1234567"])[0]) == words


def test_pages_full_of_the_end_of_text_string_do_not_teach_it(tmp_path):
    train_tokenizer(["<|endoftext|> <|endoftext|>"] * 50, vocabulary_size=400, path=tmp_path / "p.json")
    tokenizer = load_tokenizer(tmp_path / "p.json")
    assert tokenizer.info.end_of_text_id not in tokenizer.encode(["<|endoftext|>"])[0]


def test_a_vocabulary_smaller_than_the_bytes_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"vocabulary_size: must be at least 257 .*, got 256"):
        train_tokenizer(TEXTS, vocabulary_size=256, path=tmp_path / "t.json")
    train_tokenizer(TEXTS, vocabulary_size=257, path=tmp_path / "t.json")
    assert load_tokenizer(tmp_path / "t.json").info.vocabulary_size == 257


@pytest.mark.parametrize("texts", [[], ["", ""]])
def test_nothing_to_train_on(tmp_path, texts):
    with pytest.raises(InputError, match="no text to train a tokenizer on"):
        train_tokenizer(texts, vocabulary_size=300, path=tmp_path / "t.json")
    assert list(tmp_path.iterdir()) == []


def test_lone_surrogates_do_not_stop_training(tmp_path):
    train_tokenizer(["a\ud800b the"] * 3, vocabulary_size=257, path=tmp_path / "t.json")
    assert (tmp_path / "t.json").exists()
