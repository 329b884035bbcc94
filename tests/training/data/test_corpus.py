import dataclasses

import pytest
from training_configs import data_config

from pipeline.contract.errors import ConfigError, InputError
from pipeline.contract.shards import open_shards
from training.config import ValidationConfig
from training.data.corpus import Span, Windows, open_corpus, split_shards

OFF = ValidationConfig(every=None)


def test_windows_tile_the_tokens_and_overlap_by_the_target(three_documents):
    windows = Windows([Span(three_documents, 0, 11)], 5)
    assert len(windows) == 2
    assert bytes(windows.tokens(0)[[0, 1, 2]].tolist()) == b"abc"
    assert windows.tokens(0).tolist() == [97, 98, 99, 256, 100, 101]
    assert windows.tokens(1).tolist() == [101, 102, 103, 256, 104, 256]


def test_an_end_of_text_opens_the_next_document_as_an_input(three_documents):
    windows = Windows([Span(three_documents, 0, 11)], 5)
    assert windows.document_ids(0).tolist() == [0, 0, 0, 1, 1]
    assert windows.document_ids(1).tolist() == [1, 1, 1, 2, 2]


@pytest.mark.parametrize(("stop", "count"), [(11, 1), (10, 0), (0, 0)])
def test_a_window_needs_one_token_more_than_it_is_long(three_documents, stop, count):
    assert len(Windows([Span(three_documents, 0, stop)], 10)) == count


def test_windows_stay_within_their_span(tokens):
    shards = open_shards(tokens).shards
    windows = Windows([Span(shards[0], 0, 30), Span(shards[1], 100, 120)], 8)
    assert [windows.place(number) for number in range(len(windows))] == [
        (shards[0], 0), (shards[0], 8), (shards[0], 16), (shards[1], 100), (shards[1], 108),
    ]  # fmt: skip


def test_held_out_documents_are_whole_and_apart(tokens):
    shards = open_shards(tokens)
    train, held = split_shards(shards, ValidationConfig(fraction=0.1))
    assert [span.shard for span in train] == [shards.shards[0], shards.shards[1]]
    assert [span.shard for span in held] == [shards.shards[1]]
    assert train[1].stop == held[0].start
    assert held[0].start in shards.shards[1].ends
    tokens_held = sum(span.stop - span.start for span in held)
    assert 0.1 * shards.manifest.tokens <= tokens_held < 0.1 * shards.manifest.tokens + 300


def test_a_large_held_out_share_takes_whole_shards(tokens):
    shards = open_shards(tokens)
    train, held = split_shards(shards, ValidationConfig(fraction=0.6))
    assert [span.shard for span in train] == [shards.shards[0]]
    assert [(span.shard, span.stop) for span in held][1] == (shards.shards[1], len(shards.shards[1].tokens))
    assert held[1].start == 0


def test_the_last_shards_can_be_held_out(tokens):
    shards = open_shards(tokens)
    train, held = split_shards(shards, ValidationConfig(shards=1))
    assert [span.shard for span in train] == [shards.shards[0]]
    assert [span.shard for span in held] == [shards.shards[1]]
    with pytest.raises(ConfigError, match=r"validation.shards: must leave shards to train on: .* has 2, got 2"):
        split_shards(shards, ValidationConfig(shards=2))


def test_nothing_is_held_out_when_validation_is_off_or_elsewhere(tokens, tmp_path, write_tokens):
    assert split_shards(open_shards(tokens), OFF)[1] == []
    other = write_tokens(tmp_path / "other", ["to validate on, long enough"])
    corpus = open_corpus(data_config(tokens, validation={"path": str(other)}))
    assert len(corpus.train[0]) == sum((len(s.tokens) - 1) // 8 for s in open_shards(tokens).shards)
    assert bytes(corpus.held_out.tokens(0).tolist()) == b"to valida"


def test_folders_of_different_tokenizers_do_not_mix(tokens, tmp_path, write_tokens):
    other = write_tokens(tmp_path / "other", ["a long enough text"])
    manifest = open_shards(other).manifest
    tokenizer = dataclasses.replace(manifest.tokenizer, sha256="0" * 64, name="strange")
    dataclasses.replace(manifest, tokenizer=tokenizer).write(other)
    with pytest.raises(InputError, match=r"other: was made with the tokenizer 'strange' \(000000000000\)"):
        open_corpus(data_config([{"path": str(tokens)}, {"path": str(other)}]))


def test_too_few_tokens_for_one_sequence_are_refused(tmp_path, write_tokens):
    short = write_tokens(tmp_path / "short", ["abc"])
    with pytest.raises(InputError, match="too few tokens for one sequence of 8"):
        open_corpus(data_config(short, validation={"every": None}))


def test_too_little_held_out_is_refused(tokens):
    with pytest.raises(ConfigError, match="validation: holds out too few tokens for one sequence of 1000"):
        open_corpus(data_config(tokens, length=1000, validation={"fraction": 0.01}))
