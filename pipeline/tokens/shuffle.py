"""One global, seeded order of all documents, made in parallel and in bounded memory.

Every document has a key: the 64-bit BLAKE2b of its id under the seed. Sorted by key, the documents of a whole crawl
stand in an order that depends on the seed and their ids alone.

    part --write_spool--> spool (a part's documents, sorted by key)      one task a part
    spools --assemble_shard--> shard s: keys in [s, s + 1) * 2^64 / n    one task a shard

A shard's keys are one contiguous run of each spool, so an assembler reads little more than its own share of the bytes
and holds one shard and one row group. With very many parts, `merge_spools` first turns groups of them into one.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract.errors import IntegrityError
from pipeline.contract.manifest import Dtype, ShardInfo
from pipeline.contract.shards import Tokens, write_shard

KEYS = 2**64

_PLACE = ("id", "url", "warc_path", "warc_offset")
_SCHEMA = pa.schema(
    [
        ("key", pa.uint64()),
        ("id", pa.string()),
        ("copy", pa.int32()),
        ("url", pa.string()),
        ("warc_path", pa.string()),
        ("warc_offset", pa.int64()),
        ("length", pa.int64()),
        ("tokens", pa.binary()),
    ]
)
_ORDER = [("key", "ascending"), ("id", "ascending"), ("copy", "ascending"), ("warc_path", "ascending"),
          ("warc_offset", "ascending")]  # fmt: skip
_GROUP_BYTES = 4 << 20
"""Bytes of ids in a row group: what an assembler reads in vain at each end of its range, per spool, at most."""


@dataclasses.dataclass(frozen=True, slots=True)
class KeyRange:
    """The keys from `start` up to, not including, `stop`; 0 <= start < stop <= 2^64."""

    start: int
    stop: int


@dataclasses.dataclass(frozen=True, slots=True)
class SpoolStats:
    """What one spool holds."""

    documents: int
    """Copies counted each."""
    tokens: int


def document_key(seed: int, document_id: str, copy: int = 0) -> int:
    """The place of a document in the global order: BLAKE2b-64 keyed with the seed, below 2^64.

    Copy 0 has the key it would have without further copies; the others are drawn anew (the copy number is BLAKE2b's
    personalization), so the copies of one document lie far apart.
    """
    name = document_id.encode("utf-8", "surrogatepass")
    key, person = seed.to_bytes(8, "little", signed=True), copy.to_bytes(8, "little")
    return int.from_bytes(hashlib.blake2b(name, digest_size=8, key=key, person=person).digest(), "big")


def plan_shards(total_tokens: int, tokens_per_shard: int) -> list[KeyRange]:
    """Equal ranges of keys, one per shard, of which there are ceil(total_tokens / tokens_per_shard), at least one.

    Keys are uniform, so shards are equal up to chance: a shard of N documents varies by about 1 / sqrt(N).

    Raises:
        ValueError: `tokens_per_shard` is not positive.
    """
    if tokens_per_shard <= 0:
        raise ValueError(f"tokens_per_shard: must be positive, got {tokens_per_shard}")
    return _split_keys(KeyRange(0, KEYS), max(1, -(-total_tokens // tokens_per_shard)))


def write_spool(path: str | Path, docs: pa.Table, tokens: Sequence[Tokens], seed: int) -> SpoolStats:
    """Write one part's tokenized documents, sorted by key, as a parquet file.

    Args:
        path: the file to write.
        docs: id, url, warc_path, warc_offset and optionally `repeat` (how often the document is to be trained on, 0
            or more; 1 where absent), one row per document.
        tokens: ids of each document, end-of-text included, all of one dtype (uint16 or uint32).
        seed: of the shuffle, -2^63 to 2^63 - 1.

    Raises:
        ValueError: rows and token arrays differ in number, or dtypes differ.
    """
    if len(docs) != len(tokens):
        raise ValueError(f"{len(docs)} documents, but {len(tokens)} token arrays")
    dtypes = {array.dtype.name for array in tokens}
    if len(dtypes) > 1 or not dtypes <= {"uint16", "uint32"}:
        raise ValueError(f"the token arrays are of dtype {', '.join(sorted(dtypes))}; expected uint16 or uint32 alone")
    rows, copies = _repeated(docs)
    ids = docs["id"].to_pylist()
    keys = [document_key(seed, ids[row], int(copy)) for row, copy in zip(rows, copies, strict=True)]
    lengths = np.array([len(tokens[row]) for row in rows], dtype=np.int64)
    columns = {name: docs[name].take(pa.array(rows)) for name in _PLACE}
    table = pa.table({**columns, "key": pa.array(keys, pa.uint64()), "copy": copies, "length": lengths, "row": rows})
    table = table.sort_by(_ORDER)
    with _Writer(path, dtypes.pop() if dtypes else None) as writer:
        for piece in _pieces(table):
            raw = [_little_endian(tokens[row]).tobytes() for row in piece["row"].to_pylist()]
            writer.write(piece.append_column("tokens", pa.array(raw, pa.binary())))
    return SpoolStats(documents=len(table), tokens=int(lengths.sum()))


def merge_spools(spools: Sequence[str | Path], path: str | Path) -> SpoolStats:
    """Merge spools into one, holding about 64 MB of ids at a time.

    A shard opens every spool: n parts and m shards mean n * m reads. Merging groups of parts first, in parallel,
    divides that by the size of a group; the shards come out the same.
    """
    dtypes = {name for spool in spools if (name := _dtype_of(pq.read_schema(spool))) is not None}
    if len(dtypes) > 1:
        raise ValueError(f"the spools are of different dtypes: {', '.join(sorted(dtypes))}")
    size = sum(Path(spool).stat().st_size for spool in spools)
    documents = tokens = 0
    with _Writer(path, dtypes.pop() if dtypes else None) as writer:
        for keys in _split_keys(KeyRange(0, KEYS), max(1, size >> 26)):
            table = pa.concat_tables([_SCHEMA.empty_table(), *(_read(spool, keys, _SCHEMA.names) for spool in spools)])
            table = table.sort_by(_ORDER)
            documents, tokens = documents + len(table), tokens + int(table["length"].to_numpy().sum())
            for piece in _pieces(table):
                writer.write(piece)
    return SpoolStats(documents=documents, tokens=tokens)


def assemble_shard(spools: Sequence[str | Path], keys: KeyRange, path: str | Path, dtype: Dtype) -> ShardInfo:
    """Write the shard that holds the documents of all spools whose keys lie in `keys`, sorted by key.

    The bytes depend on the documents alone, not on how they are spread over spools nor on the order of `spools`. Two
    passes: the small columns decide where each document goes, then ids are copied spool by spool. Peak memory is the
    shard's ids and rows, and one row group.

    Args:
        spools: files of `write_spool` or `merge_spools`.
        keys: one of `plan_shards`.
        path: of the `.ds` file.
        dtype: of the ids; given, since a run may have no documents at all.

    Raises:
        IntegrityError: a spool holds ids of another dtype, or fewer bytes than its lengths say.
    """
    names = [name for name in _SCHEMA.names if name != "tokens"]
    tables = [_read(spool, keys, names, dtype) for spool in spools]
    offsets = np.cumsum([0, *map(len, tables)])
    table = pa.concat_tables([_SCHEMA.empty_table().select(names), *tables])
    table = table.append_column("read", pa.array(np.arange(len(table)))).sort_by(_ORDER)
    lengths = table["length"].to_numpy()
    starts = np.cumsum(lengths) - lengths
    place = np.empty(len(table), dtype=np.int64)
    place[table["read"].to_numpy()] = starts  # where the i-th document read goes
    ids = np.empty(int(lengths.sum()), dtype=dtype)
    for number, spool in enumerate(spools):
        _copy_tokens(spool, keys, place[offsets[number] : offsets[number + 1]], ids)
    return write_shard(Path(path), ids, table.append_column("start", pa.array(starts, pa.int64())))


def _repeated(docs: pa.Table) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Row number and copy number of every document to be written."""
    count = len(docs)
    repeat = docs["repeat"].to_numpy() if "repeat" in docs.column_names else np.ones(count, dtype=np.int64)
    if (repeat < 0).any():
        raise ValueError(f"repeat: must be at least 0, got {repeat.min()}")
    rows = np.repeat(np.arange(count), repeat)
    firsts = np.repeat(np.cumsum(repeat) - repeat, repeat)
    return rows, (np.arange(len(rows)) - firsts).astype(np.int32)


def _split_keys(keys: KeyRange, parts: int) -> list[KeyRange]:
    size = keys.stop - keys.start
    edges = [keys.start + size * i // parts for i in range(parts + 1)]
    return [KeyRange(edges[i], edges[i + 1]) for i in range(parts)]


def _pieces(table: pa.Table) -> Iterator[pa.Table]:
    """Consecutive slices of about _GROUP_BYTES of ids (counted as two bytes each), at least one row each."""
    position, lengths = 0, table["length"].to_numpy()
    ends = np.cumsum(lengths)
    while position < len(table):
        base = ends[position] - lengths[position]
        stop = max(position + 1, int(np.searchsorted(ends, base + _GROUP_BYTES // 2, side="right")))
        yield table.slice(position, stop - position)
        position = stop


class _Writer:
    """A spool being written: one row group per `write`."""

    def __init__(self, path: str | Path, dtype: str | None) -> None:
        schema = _SCHEMA.with_metadata({"tokens": dtype} if dtype else {})
        compression = {name: "none" if name == "tokens" else "zstd" for name in _SCHEMA.names}
        self._schema = schema
        self._writer = pq.ParquetWriter(
            path, schema, compression=compression, use_dictionary=["url", "warc_path"], write_statistics=["key"]
        )

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, piece: pa.Table) -> None:
        self._writer.write_table(piece.select(_SCHEMA.names).cast(self._schema), row_group_size=max(1, len(piece)))


def _little_endian(ids: Tokens) -> npt.NDArray[Any]:
    return ids.astype(ids.dtype.newbyteorder("<"), copy=False)


def _dtype_of(schema: pa.Schema) -> str | None:
    """None for a spool without documents."""
    name = (schema.metadata or {}).get(b"tokens")
    return name.decode() if name else None


def _groups(file: pq.ParquetFile, keys: KeyRange) -> list[int]:
    """The row groups that may hold keys of the range."""
    found = []
    for number in range(file.metadata.num_row_groups):
        statistics = file.metadata.row_group(number).column(0).statistics
        if statistics.min < keys.stop and statistics.max >= keys.start:
            found.append(number)
    return found


def _read(spool: str | Path, keys: KeyRange, names: Sequence[str], dtype: str | None = None) -> pa.Table:
    """The rows of the range, in the order of the file, of the columns `names` (`key` among them)."""
    with pq.ParquetFile(spool) as file:  # one at a time: a run may have more spools than a process may open files
        found = _dtype_of(file.schema_arrow)
        if dtype is not None and found not in (None, dtype):
            raise IntegrityError(f"{spool}: holds {found} ids, the run writes {dtype}")
        groups = [_within(file.read_row_group(number, columns=list(names)), keys) for number in _groups(file, keys)]
    return pa.concat_tables([_SCHEMA.empty_table().select(names), *groups]).select(names)


def _within(table: pa.Table, keys: KeyRange) -> pa.Table:
    found = table["key"].to_numpy()
    low, high = np.searchsorted(found, np.uint64(keys.start)), len(found)
    if keys.stop < KEYS:
        high = int(np.searchsorted(found, np.uint64(keys.stop)))
    return table.slice(int(low), high - int(low)).replace_schema_metadata(None)


def _copy_tokens(spool: str | Path, keys: KeyRange, place: npt.NDArray[np.int64], ids: Tokens) -> None:
    """Copy the ids of the range to `ids`, the i-th document of the spool's range to position place[i]."""
    if not len(place):
        return
    done = 0
    with pq.ParquetFile(spool) as file:
        for number in _groups(file, keys):
            table = _within(file.read_row_group(number, columns=["key", "length", "tokens"]), keys)
            for raw, length in zip(table["tokens"], table["length"].to_pylist(), strict=True):
                document = np.frombuffer(raw.as_buffer(), dtype=ids.dtype.newbyteorder("<"))
                if len(document) != length:
                    raise IntegrityError(f"{spool}: a document has {len(document)} ids, its row says {length}")
                start = int(place[done])
                ids[start : start + length] = document
                done += 1
