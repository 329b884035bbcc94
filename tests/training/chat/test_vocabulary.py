"""A tokenizer with and without the chat tokens."""

import pytest
from tokenizers import Tokenizer

from pipeline.contract.errors import InputError
from training.chat.format import add_chat_tokens
from training.chat.vocabulary import Vocabulary


def test_a_base_vocabulary_stops_at_the_end_of_text(byte_tokenizer: Tokenizer) -> None:
    vocabulary = Vocabulary(tokenizer=byte_tokenizer, end_of_text_id=256)
    assert (vocabulary.chat, vocabulary.stop_ids, vocabulary.pad_id) == (False, [256], None)
    assert vocabulary.end_of_text == "<|endoftext|>"
    with pytest.raises(InputError, match="no chat tokens"):
        vocabulary.format()


def test_a_chat_vocabulary_stops_at_the_end_of_a_turn_too(byte_tokenizer: Tokenizer) -> None:
    vocabulary = Vocabulary(tokenizer=add_chat_tokens(byte_tokenizer), end_of_text_id=256)
    chat = vocabulary.format()
    assert vocabulary.stop_ids == [chat.end_of_turn_id, 256]
    assert vocabulary.pad_id == chat.pad_id


def test_text_survives_encoding_and_decoding(byte_tokenizer: Tokenizer) -> None:
    vocabulary = Vocabulary(tokenizer=byte_tokenizer, end_of_text_id=256)
    ids = vocabulary.encode("héllo")
    assert vocabulary.decode([*ids, 256]) == "héllo"
    assert vocabulary.decode([*ids, 256], special=True) == "héllo<|endoftext|>"


def test_an_end_of_text_id_that_is_no_token_is_refused(byte_tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match="no token with the end-of-text id 999"):
        _ = Vocabulary(tokenizer=byte_tokenizer, end_of_text_id=999).end_of_text
