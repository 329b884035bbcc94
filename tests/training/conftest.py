"""Small models and tokenizers for the tests of training."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from pipeline.contract.config import resolved
from pipeline.contract.manifest import TokenizerInfo, TokensManifest, sha256_file
from pipeline.contract.shards import shard_name, write_shard
from training import checkpoint
from training.checkpoint import Progress, model_tensors
from training.config import ModelConfig
from training.model.initialization import new_model
from training.model.transformer import Transformer
from training.runtime.distributed import World


def _byte_of(letter: str) -> int:
    """The byte a letter of the byte-level alphabet stands for: printable Latin-1 is itself, the rest moved up."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [byte for byte in range(256) if byte not in printable]
    return ord(letter) if ord(letter) < 256 else moved[ord(letter) - 256]


@pytest.fixture
def byte_tokenizer() -> Tokenizer:
    """256 bytes, then <|endoftext|> = 256: the ids of ASCII text can be read off a table."""
    return make_byte_tokenizer()


def make_byte_tokenizer() -> Tokenizer:
    """See byte_tokenizer."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet(), key=_byte_of)
    tokenizer = Tokenizer(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


@pytest.fixture
def random_model() -> Callable[..., Transformer]:
    """Builds a small model whose every parameter, norms and biases too, is random and matters."""

    def build(**fields: Any) -> Transformer:
        shape = {
            "num_layers": 2,
            "hidden_size": 32,
            "num_heads": 4,
            "context_length": 48,
            "vocab_size": 263,
            "init_std": 0.3,
        }
        model = new_model(ModelConfig(**{**shape, **fields}), seed=5)
        generator = torch.Generator().manual_seed(6)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "norm" in name or name.endswith("bias"):
                    parameter.normal_(1.0 if name.endswith("weight") else 0.0, 0.3, generator=generator)
        return model.eval().requires_grad_(False)

    return build


@pytest.fixture
def save_parent(tmp_path: Path, byte_tokenizer: Tokenizer) -> Callable[[Transformer], Path]:
    """Saves a model with the byte tokenizer as a pretraining run, and returns its folder."""

    def save(model: Transformer) -> Path:
        content = byte_tokenizer.to_str().encode()
        info = {"name": "bytes", "sha256": hashlib.sha256(content).hexdigest(), "vocabulary_size": 257,
                "end_of_text_id": 256}  # fmt: skip
        folder = tmp_path / "parent" / "checkpoints"
        folder.mkdir(parents=True)
        checkpoint.save(
            folder, checkpoint.model_tensors(model), checkpoint.Progress(step=3),
            world=World(device=torch.device("cpu")), kind="pretrain", config={"model": resolved(model.config)},
            tokenizer=content, provenance={"tokenizer": info, "init_from": None},
        )  # fmt: skip
        return folder.parent

    return save


@pytest.fixture(scope="session")
def write_tokens() -> Callable[..., Path]:
    """Writes a `tokens/` folder, with its tokenizer.json, from lists of documents, one list for each shard."""

    def write(folder: Path, *shards: list[str]) -> Path:
        folder.mkdir(parents=True)
        tokenizer = make_byte_tokenizer()
        tokenizer.save(str(folder / "tokenizer.json"))
        sha256, infos = sha256_file(folder / "tokenizer.json"), []
        for number, texts in enumerate(shards):
            ids = [[*tokenizer.encode(text).ids, 256] for text in texts]
            lengths = np.array([len(row) for row in ids], dtype=np.int64)
            names = [f"doc-{number}-{place}" for place in range(len(texts))]
            columns = {
                "id": names, "url": [f"https://site.example/{name}" for name in names],
                "warc_path": ["a.warc.gz"] * len(texts), "warc_offset": [100 * place for place in range(len(texts))],
                "start": np.cumsum(lengths) - lengths, "length": lengths,
            }  # fmt: skip
            tokens = np.concatenate([np.array(row, dtype=np.uint16) for row in ids])
            infos.append(write_shard(folder / shard_name(number), tokens, pa.table(columns)))
        TokensManifest(
            format_version=1,
            tokenizer=TokenizerInfo(name="bytes", sha256=sha256, vocabulary_size=257, end_of_text_id=256),
            dtype="uint16", seed=1, tokens=sum(info.tokens for info in infos),
            documents=sum(info.documents for info in infos), shards=tuple(infos),
        ).write(folder)  # fmt: skip
        return folder

    return write


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory, write_tokens: Callable[..., Path]) -> Path:
    """Two shards of 60 short documents each, about 12,000 tokens of a language with a few words and some grammar."""
    random = np.random.default_rng(3)
    words = "the a red blue old new cat dog tree house sees finds likes near under with and".split()

    def text() -> str:
        return " ".join(random.choice(words, size=int(random.integers(5, 40)))) + "."

    return write_tokens(tmp_path_factory.mktemp("data") / "tokens", *([text() for _ in range(60)] for _ in range(2)))


@pytest.fixture
def save(tmp_path, byte_tokenizer):
    """Saves a model as the checkpoint of a step."""

    def do(model, step=1, **fields):
        info = {"name": "bytes", "sha256": "0" * 64, "vocabulary_size": 257, "end_of_text_id": 256}
        return checkpoint.save(
            tmp_path / "checkpoints", model_tensors(model), Progress(step=step, sequences=8 * step, tokens=64 * step),
            world=World(device=torch.device("cpu")), kind="pretrain", config={"model": resolved(model.config)},
            tokenizer=byte_tokenizer.to_str().encode(), provenance={"tokenizer": info, "init_from": None}, **fields,
        )  # fmt: skip

    return do
