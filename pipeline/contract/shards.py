"""The shard format: token ids on disk, with the way back to the document each came from.

    NNNNN.ds            flat little-endian ids, uint16 or uint32; every document closed by the end-of-text id
    NNNNN.ds.index      little-endian uint64: end position of each document, in tokens
    NNNNN.docs.parquet  id, url, warc_path, warc_offset, start, length (tokens, end-of-text included)
    manifest.json       see `pipeline.contract.manifest`

The first two are the files that datatrove's and nanotron's readers know.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract.errors import InputError, shown
from pipeline.contract.manifest import ShardInfo, TokensManifest, check_sha256, sha256_file
from pipeline.contract.tables import read_table

Tokens = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]

DOCS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("url", pa.string()),
        ("warc_path", pa.string()),
        ("warc_offset", pa.int64()),
        ("start", pa.int64()),
        ("length", pa.int64()),
    ]
)


def shard_name(number: int) -> str:
    """`00000.ds` for shard 0."""
    return f"{number:05d}.ds"


def index_path(path: Path) -> Path:
    """The `.ds.index` beside a `.ds` file."""
    return path.with_name(path.name + ".index")


def docs_path(path: Path) -> Path:
    """The `.docs.parquet` beside a `.ds` file."""
    return path.with_name(path.name.removesuffix(".ds") + ".docs.parquet")


def write_shard(path: Path, tokens: Tokens, docs: pa.Table) -> ShardInfo:
    """Write the three files of one shard at `path` (ending in `.ds`).

    Args:
        path: where the ids go; its two companions go beside it.
        tokens: ids of all documents, one after another, each closed by end-of-text, shape (N,).
        docs: one row per document in DOCS_SCHEMA; `start` and `length` must tile `tokens` from 0 to N.

    Raises:
        ValueError: `docs` does not tile `tokens`.
    """
    docs = docs.select(DOCS_SCHEMA.names).cast(DOCS_SCHEMA)
    lengths = docs["length"].to_numpy()
    ends = np.cumsum(lengths, dtype=np.uint64)
    total = int(ends[-1]) if len(ends) else 0
    if total != len(tokens) or not np.array_equal(docs["start"].to_numpy(), ends.astype(np.int64) - lengths):
        raise ValueError(
            f"{path.name}: the documents cover {total} tokens, not the {len(tokens)} given, or out of order"
        )
    tokens.astype(tokens.dtype.newbyteorder("<"), copy=False).tofile(path)
    ends.astype("<u8").tofile(index_path(path))
    with pq.ParquetWriter(docs_path(path), docs.schema, compression="zstd") as writer:
        if len(docs):  # some readers fail on a row group that is empty
            writer.write_table(docs)
    return ShardInfo(
        file=path.name,
        tokens=len(tokens),
        documents=len(docs),
        sha256=sha256_file(path),
        index_sha256=sha256_file(index_path(path)),
        docs_sha256=sha256_file(docs_path(path)),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Shard:
    """One shard, memory-mapped."""

    path: Path
    tokens: Tokens
    """All ids, shape (tokens,)."""
    ends: npt.NDArray[np.uint64]
    """End position of each document, in tokens, shape (documents,)."""

    def document(self, number: int) -> Tokens:
        """Ids of one document, end-of-text included."""
        start = int(self.ends[number - 1]) if number else 0
        return self.tokens[start : int(self.ends[number])]

    def document_at(self, position: int) -> int:
        """The number of the document that token `position` belongs to.

        Raises:
            IndexError: the shard has no such position.
        """
        if not 0 <= position < len(self.tokens):
            raise IndexError(f"{self.path.name} has {len(self.tokens)} tokens, so no position {position}")
        # A Python int would turn the whole memory-mapped array into another type first.
        return int(np.searchsorted(self.ends, np.uint64(position), side="right"))

    def docs(self) -> pa.Table:
        """The rows of `.docs.parquet`, one per document.

        Raises:
            IntegrityError: it is missing or damaged.
        """
        return read_table(docs_path(self.path), schema=DOCS_SCHEMA)


@dataclasses.dataclass(frozen=True, slots=True)
class ShardSet:
    """All shards of a `tokens/` folder, in the order of the manifest."""

    folder: Path
    manifest: TokensManifest
    shards: tuple[Shard, ...]


def open_shards(folder: str | Path, *, check_hashes: bool = False) -> ShardSet:
    """Open a `tokens/` folder (or a run folder that holds one).

    Args:
        folder: where manifest.json is.
        check_hashes: also recompute every SHA-256 (reads everything).

    Raises:
        InputError: a file is missing or its size is not the manifest's.
        IntegrityError: a checksum differs.
    """
    folder = Path(folder)
    if not (folder / "manifest.json").exists() and (folder / "tokens" / "manifest.json").exists():
        folder = folder / "tokens"
    manifest = TokensManifest.read(folder)
    return ShardSet(folder, manifest, tuple(_open(folder, manifest, info, check_hashes) for info in manifest.shards))


def _open(folder: Path, manifest: TokensManifest, info: ShardInfo, check_hashes: bool) -> Shard:
    path = folder / info.file
    # A manifest cannot point outside its folder, nor to a name that no file can have.
    if path.name != info.file or not info.file.endswith(".ds") or len(info.file.encode("utf-8", "replace")) > 200:
        raise InputError(str(folder / "manifest.json"), f"'{shown(info.file, 80)}' is no shard name")
    dtype = np.dtype(manifest.dtype).newbyteorder("<")
    tokens = _map(path, dtype, info.tokens)
    ends = _map(index_path(path), np.dtype("<u8"), info.documents)
    if (int(ends[-1]) if len(ends) else 0) != info.tokens:
        raise InputError(str(index_path(path)), f"does not end at token {info.tokens}, where the shard does")
    if check_hashes:
        check_sha256(path, info.sha256)
        check_sha256(index_path(path), info.index_sha256)
        check_sha256(docs_path(path), info.docs_sha256)
    return Shard(path, tokens, ends)


def _map(path: Path, dtype: np.dtype[Any], length: int) -> npt.NDArray[Any]:
    if not path.is_file():
        raise InputError(str(path), "is missing; the manifest names it")
    expected, found = length * dtype.itemsize, path.stat().st_size
    if expected != found:
        raise InputError(str(path), f"has {found} bytes, the manifest says {expected} ({length} x {dtype.itemsize})")
    return np.memmap(path, dtype=dtype, mode="r", shape=(length,)) if length else np.empty(0, dtype)
