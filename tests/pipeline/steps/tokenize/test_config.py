"""The section `tokenize`: what it refuses."""

import pytest

from pipeline.steps.tokenize.config import TokenizeConfig, TrainTokenizer


def test_a_vocabulary_has_room_for_the_bytes_and_fits_the_shards():
    assert TrainTokenizer(vocabulary_size=257).vocabulary_size == 257
    assert TrainTokenizer(vocabulary_size=1 << 24).vocabulary_size == 1 << 24
    for size in (256, (1 << 24) + 1):
        with pytest.raises(ValueError, match=f"vocabulary_size: must be 257 to 16,777,216, got {size}"):
            TrainTokenizer(vocabulary_size=size)
    with pytest.raises(ValueError, match="max_bytes: must be at least 1, got 0"):
        TrainTokenizer(max_bytes=0)


def test_a_shard_holds_a_token_and_a_run_has_one_tokenizer():
    with pytest.raises(ValueError, match="tokens_per_shard: must be at least 1, got 0"):
        TokenizeConfig(tokens_per_shard=0)
    with pytest.raises(ValueError, match="tokenizer and train_tokenizer: give one of the two, not both"):
        TokenizeConfig(tokenizer="x.json", train_tokenizer=TrainTokenizer())
    assert TokenizeConfig().tokenizer is None
