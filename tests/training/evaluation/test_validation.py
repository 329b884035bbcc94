"""Held-out losses, by hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from training_configs import data_config

from training.chat.packing import PackedRows
from training.data.batches import IGNORE_INDEX
from training.data.corpus import open_corpus
from training.data.token_batches import WindowReader
from training.evaluation.validation import ChatValidation, TokenValidation
from training.model.transformer import Transformer
from training.runtime.distributed import World

HERE = World(device=torch.device("cpu"))


@pytest.mark.parametrize("micro_batch_size", [1, 3, 64])
def test_token_shards_per_token_and_per_byte(
    random_model: Callable[..., Transformer], tokens: Path, micro_batch_size: int
) -> None:
    model = random_model(vocab_size=257)
    held_out = open_corpus(data_config(tokens)).held_out
    assert held_out is not None
    lengths = np.array([1] * 256 + [0])
    validation = TokenValidation(
        model=model, world=HERE, windows=held_out, reader=WindowReader(length=8, vocab_size=257, document_mask=False),
        sequences=5, micro_batch_size=micro_batch_size, loss_chunk=None, byte_lengths=lengths,
    )  # fmt: skip
    ids = torch.tensor(np.array([held_out.tokens(number) for number in range(5)]))
    nats, kept = model(ids[:, :-1], targets=ids[:, 1:]).double(), ids[:, 1:] != 256
    found = validation()
    assert found["validation_loss"] == pytest.approx(nats.mean().item(), rel=1e-6)
    wanted = (nats[kept].sum() / kept.sum() / np.log(2)).item()
    assert found["bits_per_byte"] == pytest.approx(wanted, rel=1e-6)


def test_without_known_bytes_there_are_no_bits_per_byte(random_model: Callable[..., Transformer], tokens: Path) -> None:
    held_out = open_corpus(data_config(tokens)).held_out
    assert held_out is not None
    validation = TokenValidation(
        model=random_model(vocab_size=257), world=HERE, windows=held_out, sequences=3, micro_batch_size=2,
        reader=WindowReader(length=8, vocab_size=257, document_mask=False), loss_chunk=5, byte_lengths=None,
    )  # fmt: skip
    assert list(validation()) == ["validation_loss"]


def test_conversations_per_supervised_token(random_model: Callable[..., Transformer]) -> None:
    model = random_model()
    tokens = np.arange(30, dtype=np.int32).reshape(5, 6)
    targets = np.where(tokens % 3 == 0, tokens + 1, IGNORE_INDEX).astype(np.int32)
    rows = PackedRows(tokens, targets, np.zeros_like(tokens), np.zeros_like(tokens))
    nats = model(torch.tensor(tokens).long(), targets=torch.tensor(targets).long())
    validation = ChatValidation(model=model, world=HERE, rows=rows, micro_batch_size=2, loss_chunk=None)
    assert validation() == {"validation_loss": pytest.approx(nats.sum().item() / 10, rel=1e-6)}
