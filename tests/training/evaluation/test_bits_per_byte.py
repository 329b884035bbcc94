"""Bits per byte, by hand."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tokenizers import Tokenizer

from pipeline.contract.errors import InputError
from pipeline.contract.manifest import TokenizerInfo, TokensManifest
from pipeline.contract.shards import DOCS_SCHEMA, write_shard
from training.chat.vocabulary import Vocabulary
from training.evaluation.bits_per_byte import measure
from training.model.transformer import Transformer

Build = Callable[..., Transformer]
TEXTS = ["Hello, world.", "naïve 漢字 🙂", "a" * 130]


@pytest.fixture
def vocabulary(byte_tokenizer: Tokenizer) -> Vocabulary:
    return Vocabulary(tokenizer=byte_tokenizer, end_of_text_id=256)


def write(path: Path, *items: object) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


def bits_by_hand(model: Transformer, texts: list[str], limit: int) -> float:
    """Total bits over total bytes; pieces of `limit` tokens, each after what is before it."""
    nats = 0.0
    for text in texts:
        ids = [256, *text.encode()]
        for start in range(1, len(ids), limit):
            end = min(start + limit, len(ids))
            window = ids[max(0, end - limit - 1) : end]
            scores = model(torch.tensor([window[:-1]])).log_softmax(-1)[0]
            nats -= sum(float(scores[i - 1, window[i]]) for i in range(len(window) - (end - start), len(window)))
    return nats / math.log(2) / sum(len(text.encode()) for text in texts)


def test_bits_per_byte_of_text_files(random_model: Build, vocabulary: Vocabulary, tmp_path: Path) -> None:
    model = random_model(vocab_size=257)
    wanted = bits_by_hand(model, TEXTS, 48)
    found = measure(model, vocabulary, write(tmp_path / "a.jsonl", *({"text": text} for text in TEXTS)))
    assert found.bits_per_byte == pytest.approx(wanted, rel=1e-5)
    assert (found.documents, found.tokens, found.bytes) == (3, 161, 161)
    assert found.nats_per_token == pytest.approx(wanted * math.log(2), rel=1e-5)
    pq.write_table(pa.table({"text": [*TEXTS, None, ""]}), tmp_path / "a.parquet")
    assert measure(model, vocabulary, tmp_path / "a.parquet") == found
    (tmp_path / "a.txt").write_text(TEXTS[1])
    assert measure(model, vocabulary, tmp_path / "a.txt").bits_per_byte == pytest.approx(
        bits_by_hand(model, [TEXTS[1]], 48), rel=1e-5
    )
    assert measure(model, vocabulary, tmp_path / "a.jsonl", limit=2).documents == 2


def shards(folder: Path, texts: list[str], size: int = 257) -> Path:
    documents = [[*text.encode(), 256] for text in texts]
    lengths = [len(ids) for ids in documents]
    rows = {"id": [str(n) for n in range(len(texts))], "url": [""] * len(texts), "warc_path": [""] * len(texts),
            "warc_offset": [0] * len(texts), "start": np.cumsum([0, *lengths[:-1]]), "length": lengths}  # fmt: skip
    folder.mkdir()
    tokens = np.concatenate([np.array(ids, np.uint16) for ids in documents])
    info = write_shard(folder / "00000.ds", tokens, pa.table(rows).cast(DOCS_SCHEMA))
    tokenizer = TokenizerInfo(name="bytes", sha256="0", vocabulary_size=size, end_of_text_id=256)
    TokensManifest(format_version=1, tokenizer=tokenizer, dtype="uint16", seed=0, tokens=len(tokens),
                   documents=len(texts), shards=(info,)).write(folder)  # fmt: skip
    return folder


def test_bits_per_byte_of_shards_are_those_of_their_text(
    random_model: Build, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    model = random_model(vocab_size=257)
    found = measure(model, vocabulary, shards(tmp_path / "tokens", TEXTS))
    assert found == measure(model, vocabulary, write(tmp_path / "a.jsonl", *({"text": text} for text in TEXTS)))


def test_shards_of_another_tokenizer_are_refused(random_model: Build, vocabulary: Vocabulary, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="another tokenizer"):
        measure(random_model(), vocabulary, shards(tmp_path / "tokens", TEXTS, size=300))


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.csv", b"a", "neither a folder of token shards nor a text file"),
        ("a.txt", b"\xff", "is not UTF-8"),
        ("a.txt", b"", "holds no text"),
        ("a.jsonl", b'{"texts": "a"}', "a.jsonl:1: is not an object with a text"),
        ("a.parquet", b"PAR1", "cannot be read as parquet"),
    ],
)
def test_text_that_cannot_be_measured(
    random_model: Build, vocabulary: Vocabulary, tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=problem):
        measure(random_model(), vocabulary, tmp_path / name)
