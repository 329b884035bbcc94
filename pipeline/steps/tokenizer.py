"""The tokenizer of a run: the one given, or one trained on the surviving documents; a copy lies beside the shards."""

import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.config import TokenizeConfig
from pipeline.steps.context import Part
from pipeline.tokens.shuffle import KEYS, document_key
from pipeline.tokens.train import train_tokenizer

NAME = "tokens/tokenizer.json"


def tokenizer_for(config: TokenizeConfig, out: Path, parts: Sequence[Part], seed: int) -> str:
    """Path of the run's tokenizer, OUT/tokens/tokenizer.json; written once, atomically."""
    path = out / NAME
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        if config.train_tokenizer:
            training = config.train_tokenizer
            texts = _sample(parts, training.max_bytes, seed)
            train_tokenizer(texts, vocabulary_size=training.vocabulary_size, path=temporary, split=training.split)
        else:
            shutil.copyfile(str(config.tokenizer), temporary)
        temporary.replace(path)
    return str(path)


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
