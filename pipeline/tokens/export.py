"""Token shards in the formats of other trainers: Megatron, llm.c, MosaicML MDS, parquet."""

import dataclasses
import json
import shutil
import struct
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract.errors import UserError
from pipeline.contract.shards import Shard, ShardSet, open_shards

Format = Literal["megatron", "llmc", "mds", "parquet"]

_MEGATRON_CODES = {"uint16": 8, "int32": 4}
_LLMC_HEADERS = {"uint16": (20240520, 1), "uint32": (20240801, 7)}
_LLMC_MOST_TOKENS = 2**31 - 1
_MDS_BYTES = 1 << 26
"""Size limit of an MDS shard, as MDSWriter has it."""
_PARQUET_TOKENS = 4_000_000
"""Ids in a row group."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ExportSummary:
    """What an export wrote."""

    files: int
    tokens: int
    left_out: int
    """Tokens at the very end that do not fill a window of `sequence_length`."""


def export_tokens(
    source: str | Path, target: str | Path, to: Format, *, sequence_length: int | None = None
) -> ExportSummary:
    """Write all shards of `source` to the folder `target` in another format; the shuffled order is kept.

    megatron  tokens.bin, tokens.idx: one sequence a document, ids as uint16, or int32 (Megatron has no uint32)
    llmc      train_NNNNN.bin: one file a shard; end-of-text stands before each document instead of behind
    mds       index.json, shard.NNNNN.mds: one sample a document (id, tokens, url), or windows of `sequence_length`
              (tokens); ids as int32, as llm-foundry writes them
    parquet   NNNNN.parquet: one row a document (id, url, warc_path, warc_offset, tokens)

    The folder appears whole or not at all.

    Args:
        source: a `tokens/` folder, or a run folder that holds one.
        target: a folder that does not exist yet, or is empty.
        to: the format.
        sequence_length: tokens of a window; for `mds` alone.

    Raises:
        InputError: `source` holds no shards.
        UserError: `target` holds something, the format is unknown, or a shard does not fit the format.
    """
    if to not in get_args(Format):
        raise UserError("--to", f"unknown format '{to}'", known=get_args(Format))
    if sequence_length is not None and (to != "mds" or sequence_length < 1):
        raise UserError("--sequence-length", f"is for mds alone, and at least 1; got {sequence_length} for {to}")
    shards, target = open_shards(source), Path(target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(str(target), "exists already", hint="give a new folder, or empty this one")
    attempt = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    attempt.mkdir(parents=True)
    try:
        left_out = _mds(shards, attempt, sequence_length) if to == "mds" else _WRITERS[to](shards, attempt)
        if target.exists():
            target.rmdir()
        attempt.rename(target)
    finally:
        shutil.rmtree(attempt, ignore_errors=True)
    files = sum(1 for _ in target.iterdir())
    return ExportSummary(files=files, tokens=shards.manifest.tokens - left_out, left_out=left_out)


def _megatron(shards: ShardSet, folder: Path) -> int:
    """Source: Megatron-LM's indexed dataset (magic MMIDIDX, version 1)."""
    dtype = "uint16" if shards.manifest.dtype == "uint16" else "int32"
    with (folder / "tokens.bin").open("wb") as sink:
        for shard in shards.shards:
            for chunk in _chunks(shard.tokens):
                sink.write(chunk.astype(np.dtype(dtype).newbyteorder("<")).tobytes())
    lengths = np.concatenate([np.empty(0, np.int64), *map(_lengths, shards.shards)])
    starts = (np.cumsum(lengths) - lengths) * np.dtype(dtype).itemsize
    with (folder / "tokens.idx").open("wb") as sink:
        sink.write(b"MMIDIDX\x00\x00" + struct.pack("<QB", 1, _MEGATRON_CODES[dtype]))
        sink.write(struct.pack("<QQ", len(lengths), len(lengths) + 1))
        sink.write(lengths.astype("<i4").tobytes())
        sink.write(starts.astype("<i8").tobytes())
        sink.write(np.arange(len(lengths) + 1, dtype="<i8").tobytes())
    return 0


def _llmc(shards: ShardSet, folder: Path) -> int:
    """Source: llm.c, dev/data/data_common.py: 256 int32 (magic, version, tokens), then the ids."""
    magic, version = _LLMC_HEADERS[shards.manifest.dtype]
    for number, shard in enumerate(shards.shards):
        if len(shard.tokens) > _LLMC_MOST_TOKENS:
            problem = f"has {len(shard.tokens)} tokens; a llm.c file holds at most {_LLMC_MOST_TOKENS}"
            raise UserError(str(shard.path), problem, hint="build with smaller shards: tokenize.tokens_per_shard")
        header = np.zeros(256, dtype="<i4")
        header[:3] = magic, version, len(shard.tokens)
        with (folder / f"train_{number:05d}.bin").open("wb") as sink:
            sink.write(header.tobytes())
            if len(shard.tokens):  # the last end-of-text comes first: each document then has its own in front
                sink.write(shard.tokens[-1:].tobytes())
            for chunk in _chunks(shard.tokens[:-1]):
                sink.write(chunk.tobytes())
    return 0


def _parquet(shards: ShardSet, folder: Path) -> int:
    ids = pa.uint16() if shards.manifest.dtype == "uint16" else pa.uint32()
    names = ["id", "url", "warc_path", "warc_offset"]
    for number, shard in enumerate(shards.shards):
        docs = shard.docs().select(names)
        schema = docs.schema.append(pa.field("tokens", pa.list_(ids))).remove_metadata()
        with pq.ParquetWriter(folder / f"{number:05d}.parquet", schema, compression="zstd") as writer:
            for first, last in _groups(shard.ends):
                start = int(shard.ends[first - 1]) if first else 0
                offsets = np.concatenate([[start], shard.ends[first:last]]) - start
                values = pa.array(np.asarray(shard.tokens[start : int(shard.ends[last - 1])]), ids)
                lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)
                writer.write_table(docs.slice(first, last - first).append_column("tokens", lists).cast(schema))
    return 0


def _mds(shards: ShardSet, folder: Path, sequence_length: int | None = None) -> int:
    """Source: mosaicml-streaming 0.13, streaming/base/format/mds: format version 2."""
    if sequence_length is None:
        columns = {"id": "str", "tokens": "ndarray:int32", "url": "str"}
        sizes: dict[str, int | None] = dict.fromkeys(columns)
    else:
        columns = {"tokens": f"ndarray:int32:{sequence_length}"}
        sizes = {"tokens": 4 * sequence_length}
    config: dict[str, Any] = {
        "column_encodings": list(columns.values()), "column_names": list(columns),
        "column_sizes": [sizes[name] for name in columns], "compression": None, "format": "mds", "hashes": [],
        "size_limit": _MDS_BYTES, "version": 2,
    }  # fmt: skip
    entries: list[dict[str, Any]] = []
    batch: list[bytes] = []
    size, windows = 0, 0
    for sample in _mds_documents(shards) if sequence_length is None else _windows(shards, sequence_length):
        if batch and size + len(sample) > _MDS_BYTES:
            entries.append(_write_mds(folder, len(entries), config, batch))
            batch, size = [], 0
        batch.append(sample)
        size += len(sample)
        windows += 1
    if batch:
        entries.append(_write_mds(folder, len(entries), config, batch))
    index = {"shards": entries, "version": 2}
    (folder / "index.json").write_text(json.dumps(index, sort_keys=True), encoding="utf-8")
    return 0 if sequence_length is None else shards.manifest.tokens - windows * sequence_length


def _write_mds(folder: Path, number: int, config: dict[str, Any], samples: list[bytes]) -> dict[str, Any]:
    """One shard: sample count, where each sample begins and the last ends, the config, the samples."""
    name, head = f"shard.{number:05d}.mds", json.dumps(config, sort_keys=True).encode()
    first = 4 + 4 * (len(samples) + 1) + len(head)
    offsets = first + np.cumsum([0, *map(len, samples)], dtype=np.int64)
    if offsets[-1] >= 2**32:
        raise UserError(name, f"a document of {len(samples[-1])} bytes does not fit an MDS shard (4 GB)")
    with (folder / name).open("wb") as sink:
        sink.write(struct.pack("<I", len(samples)) + offsets.astype("<u4").tobytes() + head)
        sink.writelines(samples)
    raw = {"basename": name, "bytes": int(offsets[-1]), "hashes": {}}
    return {**config, "raw_data": raw, "samples": len(samples), "zip_data": None}


def _mds_documents(shards: ShardSet) -> Iterator[bytes]:
    for shard in shards.shards:
        docs = shard.docs()
        for number, (id_, url) in enumerate(zip(docs["id"].to_pylist(), docs["url"].to_pylist(), strict=True)):
            parts = (id_.encode(), _mds_array(shard.document(number)), url.encode())
            yield struct.pack("<III", *map(len, parts)) + b"".join(parts)


def _mds_array(ids: npt.NDArray[Any]) -> bytes:
    """A one-dimensional int32 array with its shape in front, in the smallest type that holds it."""
    code, kind = next((i, "BHIQ"[i]) for i in range(4) if len(ids) < 1 << (8 << i))
    return struct.pack(f"<B{kind}", 1 << 2 | code, len(ids)) + ids.astype("<i4").tobytes()


def _windows(shards: ShardSet, length: int) -> Iterator[bytes]:
    """Consecutive windows of the whole stream, across documents and shards."""
    rest: npt.NDArray[Any] = np.empty(0, dtype="<i4")
    for shard in shards.shards:
        for chunk in _chunks(shard.tokens):
            stream = np.concatenate([rest, chunk.astype("<i4")])
            whole = len(stream) // length * length
            for window in stream[:whole].reshape(-1, length):
                yield window.tobytes()
            rest = stream[whole:]


_WRITERS = {"megatron": _megatron, "llmc": _llmc, "parquet": _parquet}


def _lengths(shard: Shard) -> npt.NDArray[np.int64]:
    ends = shard.ends.astype(np.int64)
    starts: npt.NDArray[np.int64] = np.concatenate([[0], ends[:-1]])
    return ends - starts


def _chunks(tokens: npt.NDArray[Any], size: int = 1 << 22) -> Iterator[npt.NDArray[Any]]:
    for start in range(0, len(tokens), size):
        yield np.asarray(tokens[start : start + size])


def _groups(ends: npt.NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """Runs of documents, first and one past the last, of about _PARQUET_TOKENS ids."""
    first = 0
    while first < len(ends):
        base = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, base + _PARQUET_TOKENS, side="right")))
        yield first, last
        first = last
