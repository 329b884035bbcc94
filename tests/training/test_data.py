import dataclasses

import numpy as np
import pytest
import torch

from pipeline.contract.config import build
from pipeline.contract.errors import ConfigError, InputError
from pipeline.contract.shards import open_shards
from training.batches import Prefetcher, shares
from training.config import PretrainConfig, ValidationConfig
from training.corpus import Span, Windows, open_corpus, split
from training.data import Reader, training_data, validation_batches
from training.model import IGNORE

OFF = ValidationConfig(every=None)


def config_of(tokens, length=8, **sections):
    tree = {
        "data": {"tokens": str(tokens) if not isinstance(tokens, list) else tokens},
        "batch": {"steps": 10, "tokens": 6 * length, "micro_sequences": 2},
        "run": {"output": "unused"},
        "model": {"context_length": length},
        "optimizer": {"warmup_steps": 0},
    }
    for name, values in sections.items():
        tree.setdefault(name, {}).update(values)
    return build(PretrainConfig, tree, "test")


def data_of(config, corpus, rank=0, size=1, document_mask=False):
    reader = Reader(length=config.sequence_length, vocabulary=257, document_mask=document_mask)
    return training_data(config, corpus, reader, rank=rank, size=size)


@pytest.fixture
def three_documents(tmp_path, write_tokens):
    """Ids: a b c . | d e f g . | h .   with . = end of text; positions 0 to 10."""
    return open_shards(write_tokens(tmp_path / "tokens", ["abc", "defg", "h"])).shards[0]


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


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("micro", [1, 2, 64])
def test_every_sequence_of_a_step_is_on_one_process(size, micro):
    mine = [list(shares(6, micro, rank, size)) for rank in range(size)]
    assert len({len(batches) for batches in mine}) == 1
    assert {len(batch) for batches in mine for batch in batches} == {min(micro, -(-6 // size))}
    indexes = [index for batches in mine for batch in batches for index in batch if index is not None]
    assert sorted(indexes) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("size", [2, 3, 4])
def test_any_number_of_processes_reads_the_same_sequences_in_a_step(tokens, size):
    config = config_of(tokens)
    corpus = open_corpus(config)
    for first in (0, 600, 6000):
        alone = rows(data_of(config, corpus).step(first))
        together = [row for rank in range(size) for row in rows(data_of(config, corpus, rank, size).step(first))]
        assert sorted(together) == sorted(alone)
        assert len(alone) == 6


def rows(batches):
    """The rows that have targets, as tuples."""
    return [
        (*tokens.tolist(), int(targets[-1]))
        for batch in batches
        for tokens, targets in zip(batch.tokens, batch.targets, strict=True)
        if (targets != IGNORE).all()
    ]


def test_filling_rows_have_no_targets(tokens):
    config = config_of(tokens)
    batches = data_of(config, open_corpus(config), rank=3, size=4).step(0)
    assert [batch.supervised for batch in batches] == [0]
    assert batches[0].tokens.shape == (2, 8)


def test_targets_are_the_next_tokens(tokens):
    config = config_of(tokens)
    batch = data_of(config, open_corpus(config)).step(0)[0]
    assert torch.equal(batch.tokens[:, 1:], batch.targets[:, :-1])
    assert batch.tokens.dtype == torch.int64
    assert batch.document_ids is None


def test_an_epoch_covers_every_training_window_once(tokens):
    config = config_of(tokens)
    corpus = open_corpus(config)
    windows = corpus.train[0]
    data, seen = data_of(config, corpus), []
    for first in range(0, len(windows) // 6 * 6, 6):
        seen += rows(data.step(first))
    every = {tuple(windows.tokens(number).tolist()) for number in range(len(windows))}
    assert len(seen) == len(windows) // 6 * 6
    assert len(every - set(seen)) < 6


def test_held_out_documents_are_whole_and_apart(tokens):
    shards = open_shards(tokens)
    train, held = split(shards, ValidationConfig(fraction=0.1))
    assert [span.shard for span in train] == [shards.shards[0], shards.shards[1]]
    assert [span.shard for span in held] == [shards.shards[1]]
    assert train[1].stop == held[0].start
    assert held[0].start in shards.shards[1].ends
    tokens_held = sum(span.stop - span.start for span in held)
    assert 0.1 * shards.manifest.tokens <= tokens_held < 0.1 * shards.manifest.tokens + 300


def test_a_large_held_out_share_takes_whole_shards(tokens):
    shards = open_shards(tokens)
    train, held = split(shards, ValidationConfig(fraction=0.6))
    assert [span.shard for span in train] == [shards.shards[0]]
    assert [(span.shard, span.stop) for span in held][1] == (shards.shards[1], len(shards.shards[1].tokens))
    assert held[1].start == 0


def test_the_last_shards_can_be_held_out(tokens):
    shards = open_shards(tokens)
    train, held = split(shards, ValidationConfig(shards=1))
    assert [span.shard for span in train] == [shards.shards[0]]
    assert [span.shard for span in held] == [shards.shards[1]]
    with pytest.raises(ConfigError, match=r"validation.shards: must leave shards to train on: .* has 2, got 2"):
        split(shards, ValidationConfig(shards=2))


def test_nothing_is_held_out_when_validation_is_off_or_elsewhere(tokens, tmp_path, write_tokens):
    assert split(open_shards(tokens), OFF)[1] == []
    other = write_tokens(tmp_path / "other", ["to validate on, long enough"])
    corpus = open_corpus(config_of(tokens, validation={"path": str(other)}))
    assert len(corpus.train[0]) == sum((len(s.tokens) - 1) // 8 for s in open_shards(tokens).shards)
    assert bytes(corpus.held_out.tokens(0).tolist()) == b"to valida"


@pytest.mark.parametrize("size", [1, 2, 3])
def test_validation_reads_the_same_windows_on_any_number_of_processes(tokens, size):
    config = config_of(tokens)
    held_out = open_corpus(config).held_out
    reader = Reader(length=8, vocabulary=257, document_mask=False)
    every = [
        row
        for rank in range(size)
        for row in rows(validation_batches(held_out, reader, limit=7, micro=2, rank=rank, size=size))
    ]
    assert sorted(every) == sorted(tuple(held_out.tokens(number).tolist()) for number in range(7))


def test_a_mix_draws_from_each_folder_by_weight(tokens, tmp_path, write_tokens):
    other = write_tokens(tmp_path / "other", ["XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX" for _ in range(9)])
    config = config_of([{"path": str(tokens), "weight": 3}, {"path": str(other)}], validation={"every": None})
    data = data_of(config, open_corpus(config))
    drawn = [row for first in range(0, 4096 - 6, 6) for row in rows(data.step(first))]
    share = sum(ord("X") in row for row in drawn) / len(drawn)
    assert share == pytest.approx(0.25, abs=0.001)


def test_folders_of_different_tokenizers_do_not_mix(tokens, tmp_path, write_tokens):
    other = write_tokens(tmp_path / "other", ["a long enough text"])
    manifest = open_shards(other).manifest
    tokenizer = dataclasses.replace(manifest.tokenizer, sha256="0" * 64, name="strange")
    dataclasses.replace(manifest, tokenizer=tokenizer).write(other)
    with pytest.raises(InputError, match=r"other: was made with the tokenizer 'strange' \(000000000000\)"):
        open_corpus(config_of([{"path": str(tokens)}, {"path": str(other)}]))


def test_too_few_tokens_for_one_sequence_are_refused(tmp_path, write_tokens):
    short = write_tokens(tmp_path / "short", ["abc"])
    with pytest.raises(InputError, match="too few tokens for one sequence of 8"):
        open_corpus(config_of(short, validation={"every": None}))


def test_too_little_held_out_is_refused(tokens):
    with pytest.raises(ConfigError, match="validation: holds out too few tokens for one sequence of 1000"):
        open_corpus(config_of(tokens, length=1000, validation={"fraction": 0.01}))


def test_an_id_outside_the_vocabulary_is_refused_with_its_place(three_documents):
    windows = Windows([Span(three_documents, 0, 11)], 5)
    reader = Reader(length=5, vocabulary=256, document_mask=False)
    with pytest.raises(InputError, match=r"00000.ds: has the id 256 at token 3; the model's vocabulary is 256"):
        reader.batch([(windows, 0)])


def test_document_ids_come_with_the_batch_when_asked_for(three_documents):
    windows = Windows([Span(three_documents, 0, 11)], 5)
    batch = Reader(length=5, vocabulary=257, document_mask=True).batch([(windows, 0), None])
    assert batch.document_ids.tolist() == [[0, 0, 0, 1, 1], [0, 0, 0, 0, 0]]


class Numbered:
    """A source whose batches are their position; breaks at the third step."""

    sequences_per_step = 4

    def step(self, first):
        if first == 8:
            raise InputError("shard", "is gone")
        return [first]


def test_the_prefetcher_keeps_the_order_and_hands_errors_on():
    batches = Prefetcher(Numbered(), 0, pin=False)
    assert [batches.take(), batches.take()] == [[0], [4]]
    with pytest.raises(InputError, match="is gone"):
        batches.take()
    batches.close()


def test_a_prefetcher_can_be_left_early():
    batches = Prefetcher(Numbered(), 100, pin=False)
    assert batches.take() == [100]
    batches.close()
    assert np.all([not batches._thread.is_alive()])
