"""How many bits a model needs for each byte of text: comparable between tokenizers.

Every document is scored by itself: after the end-of-text token, each of its tokens once, with as much of the document
before it as fits (a document longer than the context in pieces, each a full context long). The token that closes a
document has no bytes and is not counted. Source: Gao et al. 2020, arXiv:2101.00027 (The Pile).
"""

import dataclasses
import itertools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract.errors import InputError
from pipeline.contract.shards import open_shards
from training.chat.vocabulary import Vocabulary
from training.evaluation.scoring import score_long
from training.model.transformer import Transformer

PORTION = 64
"""Documents scored between two reports of progress."""
Text = tuple[list[int], int]
"""A document's ids and its length in bytes of UTF-8."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class BitsPerByte:
    """What a model needs for some text."""

    bits_per_byte: float
    nats_per_token: float
    documents: int
    tokens: int
    bytes: int

    @property
    def perplexity(self) -> float:
        """exp of the loss of a token; depends on the tokenizer."""
        return math.exp(min(self.nats_per_token, 700.0))


def measure(
    model: Transformer,
    vocabulary: Vocabulary,
    path: Path,
    *,
    limit: int | None = None,
    batch_tokens: int = 8192,
    progress: Callable[[int], None] = lambda _: None,
) -> BitsPerByte:
    """Bits per byte of a `tokens/` folder, or of a .txt, .jsonl or .parquet file.

    Args:
        model: in evaluation mode.
        path: a folder of shards made with this tokenizer; or text: one document (.txt), or a `text` field or column.
        limit: documents measured at most, from the start.
        progress: told how many more documents are done.

    Raises:
        InputError: `path` is none of these, or holds no text.
    """
    documents = shard_texts(path, vocabulary) if path.is_dir() else file_texts(path, vocabulary)
    nats, tokens, size, count = 0.0, 0, 0, 0
    wanted = itertools.islice(documents, limit)
    while portion := list(itertools.islice(wanted, PORTION)):
        requests = [([vocabulary.end_of_text_id], ids) for ids, _ in portion]
        nats -= sum(one.log_probability for one in score_long(model, requests, batch_tokens=batch_tokens))
        tokens += sum(len(ids) for ids, _ in portion)
        size += sum(length for _, length in portion)
        count += len(portion)
        progress(len(portion))
    if size == 0:
        raise InputError(str(path), "holds no text to measure")
    return BitsPerByte(
        bits_per_byte=nats / math.log(2) / size,
        nats_per_token=nats / tokens,
        documents=count,
        tokens=tokens,
        bytes=size,
    )


def shard_texts(folder: Path, vocabulary: Vocabulary) -> Iterator[Text]:
    """The documents of a `tokens/` folder.

    Raises:
        InputError: it is none, or its ids are not of this vocabulary.
    """
    opened = open_shards(folder)
    info = opened.manifest.tokenizer
    size = vocabulary.tokenizer.get_vocab_size()
    if info.end_of_text_id != vocabulary.end_of_text_id or info.vocabulary_size > size:
        found = f"{info.vocabulary_size} ids, end-of-text {info.end_of_text_id}"
        raise InputError(str(folder), f"was made with another tokenizer ('{info.name}': {found}) than the model's")
    for shard in opened.shards:
        for number in range(len(shard.ends)):
            ids = shard.document(number).tolist()
            ids = ids[:-1] if ids[-1:] == [info.end_of_text_id] else ids
            if ids:
                yield ids, len(vocabulary.decode(ids).encode("utf-8", "replace"))


def file_texts(path: Path, vocabulary: Vocabulary) -> Iterator[Text]:
    """The documents of a text file; empty ones are passed over.

    Raises:
        InputError: it cannot be read, or is of no known kind.
    """
    readers: dict[str, Callable[[Path], Iterator[str]]] = {
        ".txt": _whole, ".jsonl": _json_lines, ".parquet": _parquet}  # fmt: skip
    if path.suffix not in readers:
        raise InputError(str(path), "is neither a folder of token shards nor a text file", known=readers)
    for text in readers[path.suffix](path):
        if ids := vocabulary.encode(text):
            yield ids, len(text.encode())


def _whole(path: Path) -> Iterator[str]:
    try:
        yield path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(str(path), f"is not UTF-8: {error.reason} at byte {error.start}") from error


def _json_lines(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as source:
            for number, line in enumerate(source, 1):
                if line.strip():
                    yield _text(line, f"{path}:{number}")
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror}") from error


def _text(line: bytes, place: str) -> str:
    try:
        text = json.loads(line)["text"]
        text.encode()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(place, "is not an object with a text 'text' in JSON") from error
    return str(text)


def _parquet(path: Path) -> Iterator[str]:
    try:
        with pq.ParquetFile(path) as file:
            if "text" not in file.schema_arrow.names:
                raise InputError(str(path), "has no column 'text'", known=file.schema_arrow.names)
            for batch in file.iter_batches(columns=["text"]):
                yield from (text for text in batch.column(0).to_pylist() if text)
    except (OSError, pa.ArrowException) as error:
        raise InputError(str(path), f"cannot be read as parquet: {error}") from error
