import pytest
import torch
from training_configs import data_config

from pipeline.contract.errors import InputError
from training.data.batches import IGNORE_INDEX
from training.data.corpus import Span, Windows, open_corpus
from training.data.token_batches import WindowReader, training_batches, validation_batches


def data_of(config, corpus, rank=0, size=1, document_mask=False):
    reader = WindowReader(length=config.sequence_length, vocab_size=257, document_mask=document_mask)
    return training_batches(config, corpus, reader, rank=rank, size=size)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_any_number_of_processes_reads_the_same_sequences_in_a_step(tokens, size):
    config = data_config(tokens)
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
        if (targets != IGNORE_INDEX).all()
    ]


def test_filling_rows_have_no_targets(tokens):
    config = data_config(tokens)
    batches = data_of(config, open_corpus(config), rank=3, size=4).step(0)
    assert [batch.supervised for batch in batches] == [0]
    assert batches[0].tokens.shape == (2, 8)


def test_targets_are_the_next_tokens(tokens):
    config = data_config(tokens)
    batch = data_of(config, open_corpus(config)).step(0)[0]
    assert torch.equal(batch.tokens[:, 1:], batch.targets[:, :-1])
    assert batch.tokens.dtype == torch.int64
    assert batch.document_ids is None


def test_an_epoch_covers_every_training_window_once(tokens):
    config = data_config(tokens)
    corpus = open_corpus(config)
    windows = corpus.train[0]
    data, seen = data_of(config, corpus), []
    for first in range(0, len(windows) // 6 * 6, 6):
        seen += rows(data.step(first))
    every = {tuple(windows.tokens(number).tolist()) for number in range(len(windows))}
    assert len(seen) == len(windows) // 6 * 6
    assert len(every - set(seen)) < 6


@pytest.mark.parametrize("size", [1, 2, 3])
def test_validation_reads_the_same_windows_on_any_number_of_processes(tokens, size):
    config = data_config(tokens)
    held_out = open_corpus(config).held_out
    reader = WindowReader(length=8, vocab_size=257, document_mask=False)
    every = [
        row
        for rank in range(size)
        for row in rows(validation_batches(held_out, reader, limit=7, micro=2, rank=rank, size=size))
    ]
    assert sorted(every) == sorted(tuple(held_out.tokens(number).tolist()) for number in range(7))


def test_a_mix_draws_from_each_folder_by_weight(tokens, tmp_path, write_tokens):
    other = write_tokens(tmp_path / "other", ["XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX" for _ in range(9)])
    config = data_config([{"path": str(tokens), "weight": 3}, {"path": str(other)}], validation={"every": None})
    data = data_of(config, open_corpus(config))
    drawn = [row for first in range(0, 4096 - 6, 6) for row in rows(data.step(first))]
    share = sum(ord("X") in row for row in drawn) / len(drawn)
    assert share == pytest.approx(0.25, abs=0.001)


def test_an_id_outside_the_vocabulary_is_refused_with_its_place(three_documents):
    windows = Windows([Span(three_documents, 0, 11)], 5)
    reader = WindowReader(length=5, vocab_size=256, document_mask=False)
    with pytest.raises(InputError, match=r"00000.ds: has the id 256 at token 3; the model's vocabulary is 256"):
        reader.batch([(windows, 0)])


def test_document_ids_come_with_the_batch_when_asked_for(three_documents):
    windows = Windows([Span(three_documents, 0, 11)], 5)
    batch = WindowReader(length=5, vocab_size=257, document_mask=True).batch([(windows, 0), None])
    assert batch.document_ids.tolist() == [[0, 0, 0, 1, 1], [0, 0, 0, 0, 0]]
