"""The tokenizer of a run: the one given, or one trained on the surviving documents; a copy lies beside the shards."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.contract.errors import InputError
from pipeline.steps.context import Part
from pipeline.steps.tokenize.config import TokenizeConfig, TrainTokenizer
from pipeline.storage.files import write_atomic
from pipeline.tokens.bpe_training import train_tokenizer
from pipeline.tokens.shuffle import KEYS, document_key

NAME = "tokens/tokenizer.json"


def tokenizer_for(config: TokenizeConfig, out: Path, parts: Sequence[Part], seed: int) -> str:
    """Path of the run's tokenizer, OUT/tokens/tokenizer.json; written once, atomically."""
    path = out / NAME
    if not path.is_file():
        if config.train_tokenizer:
            _train(config.train_tokenizer, parts, seed, path)
        else:
            write_atomic(path, Path(str(config.tokenizer)).read_bytes())
    return str(path)


def _train(training: TrainTokenizer, parts: Sequence[Part], seed: int, path: Path) -> None:
    if not any(part.rows for part in parts):
        hint = f"the rows in {path.parent.parent / 'dropped'} say why they were dropped; or give tokenize.tokenizer"
        raise InputError("tokenize.train_tokenizer", "no document is left to train a tokenizer on", hint=hint)
    texts = _sample(parts, training.max_bytes, seed)
    train_tokenizer(texts, vocabulary_size=training.vocabulary_size, path=path, split=training.split)


def _sample(parts: Sequence[Part], max_bytes: int, seed: int) -> Iterator[str]:
    """Texts of the documents whose place in the seeded order lies in the share that `max_bytes` allows."""
    share = min(1.0, max_bytes / max(1, sum(_text_bytes(part.path) for part in parts)))
    for part in parts:
        for batch in pq.ParquetFile(part.path).iter_batches(256, columns=["id", "text"]):
            for row in batch.to_pylist():
                if document_key(seed, row["id"]) < share * KEYS:
                    yield row["text"]


def _text_bytes(path: Path) -> int:
    """Bytes of the column `text`, before compression, from the file's footer."""
    metadata = pq.read_metadata(path)
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    columns = (group.column(number) for group in groups for number in range(group.num_columns))
    return sum(column.total_uncompressed_size for column in columns if column.path_in_schema == "text")
