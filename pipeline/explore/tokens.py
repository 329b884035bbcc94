"""A document's tokens: where they stand in the shards, and what each id says.

The place of a document in the shuffled order is a hash of its id, so one shard has to be opened, not all of them.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.contract.errors import UserError
from pipeline.contract.manifest import TokensManifest, sha256_file
from pipeline.contract.shards import docs_path
from pipeline.tokens.shuffle import document_key, plan_shards
from pipeline.tokens.tokenizer import Tokenizer, load_tokenizer

SHOWN = 3000
"""Tokens of a span that are shown."""
MAX_COPIES = 20


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """Some text made of one id, or of several where a character needs more than one."""

    text: str
    ids: tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """One copy of a document in the shards."""

    shard: str
    start: int
    length: int
    pieces: tuple[Piece, ...]
    """The first SHOWN tokens."""

    @property
    def shown(self) -> int:
        """Tokens in `pieces`."""
        return sum(len(piece.ids) for piece in self.pieces)


@dataclasses.dataclass(frozen=True, slots=True)
class Tokens:
    """What the shards hold of a document."""

    spans: tuple[Span, ...]
    problem: str = ""


def tokens_of(out: Path, row: dict[str, object], *, decode: bool) -> Tokens:
    """The spans of a row of `documents`; with `decode`, the first of them in pieces."""
    try:
        manifest = TokensManifest.read(out / "tokens")
        copies = min(MAX_COPIES, max(1, int(str(row.get("copies") or 1))))
        shards = [_shard_of(manifest, str(row["id"]), copy) for copy in range(copies)]
        found = [span for number in dict.fromkeys(shards) for span in _spans(out, manifest, number, row)]
        if not found:
            return Tokens((), "not in the shard where its id and the seed put it")
        if decode:
            found[0] = dataclasses.replace(found[0], pieces=_decoded(out, manifest, found[0]))
    except UserError as error:
        return Tokens((), " ".join(str(error).split()))
    except (OSError, pa.ArrowException, IndexError) as error:
        return Tokens((), f"the shards cannot be read: {' '.join(str(error).split())[:200]}")
    return Tokens(tuple(found))


def _shard_of(manifest: TokensManifest, name: str, copy: int) -> int:
    key = document_key(manifest.seed, name, copy)
    ranges = plan_shards(len(manifest.shards), 1)
    # Ranges are of equal width up to rounding: the right one is the guess or a neighbour of it.
    guess = min(len(ranges) - 1, key * len(ranges) >> 64)
    near = range(max(0, guess - 1), min(len(ranges), guess + 2))
    return next(number for number in near if ranges[number].start <= key < ranges[number].stop)


def _spans(out: Path, manifest: TokensManifest, number: int, row: dict[str, object]) -> list[Span]:
    info = manifest.shards[number]
    path = out / "tokens" / Path(info.file).name
    with pq.ParquetFile(docs_path(path)) as source:
        table = source.read(columns=["id", "warc_path", "warc_offset", "start", "length"])
    mask = pc.equal(table["id"], row["id"])
    for name in ("warc_path", "warc_offset"):
        mask = pc.and_(mask, pc.equal(table[name], row[name]))
    return [Span(path.name, row["start"], row["length"], ()) for row in table.filter(mask).to_pylist()[:MAX_COPIES]]


def _decoded(out: Path, manifest: TokensManifest, span: Span) -> tuple[Piece, ...]:
    tokenizer_path = out / "tokens" / "tokenizer.json"
    if not tokenizer_path.is_file() or sha256_file(tokenizer_path) != manifest.tokenizer.sha256:
        return ()
    dtype = np.dtype(manifest.dtype).newbyteorder("<")
    with (out / "tokens" / span.shard).open("rb") as source:
        source.seek(span.start * dtype.itemsize)
        ids = np.frombuffer(source.read(min(span.length, SHOWN) * dtype.itemsize), dtype)
    return tuple(pieces(load_tokenizer(tokenizer_path), [int(id) for id in ids]))


def pieces(tokenizer: Tokenizer, ids: list[int]) -> list[Piece]:
    """The text of each id; ids that are bytes of one character stand together, four at most."""
    found, waiting = list[Piece](), list[int]()
    for id in ids:
        waiting.append(id)
        text = tokenizer.decode(waiting)
        if "\ufffd" not in text or len(waiting) == 4:
            found.append(Piece(text, tuple(waiting)))
            waiting = []
    return [*found, Piece(tokenizer.decode(waiting), tuple(waiting))] if waiting else found
