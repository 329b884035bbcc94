"""Rows of payload digests on disk, and which of those that are equal comes first.

A payload file holds the pages of one input, sorted by digest. A file of firsts holds, for one range of digests, the
first page of every digest that occurs more than once. Both are Arrow files of one batch, memory-mapped: a look-up
touches the few pages of the file that it needs.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.dedup.edges import partition_bounds
from pipeline.dedup.shingles import U64
from pipeline.dedup.sorted_runs import KEYS

ROW_BYTES = 400
"""Memory for one row while firsts are sorted out."""
PAYLOADS = pa.schema(
    {
        "high": pa.uint64(),  # the digest's first 8 bytes
        "low": pa.uint64(),  # and its last
        "order": pa.int64(),  # ms since 1970; smaller comes first
        "id": pa.string(),
        "offset": pa.int64(),
        "passed": pa.int32(),
    }
)
FIRSTS = pa.schema([*PAYLOADS, ("split", pa.uint32()), ("size", pa.int64())])
_ORDER = ("high", "low", "order", "id", "split", "offset", "passed")


def write_payloads(path: Path, rows: pa.Table) -> None:
    """Write the pages of one input, of any order; no renaming: that is the caller's."""
    _write(path, rows.sort_by([("high", "ascending"), ("low", "ascending")]).cast(PAYLOADS))


def partitions_for(rows: int, budget: int) -> int:
    """Equal ranges of digests so that sorting one of them needs about `budget` bytes."""
    return max(1, -(-rows * ROW_BYTES // budget))


def write_firsts(splits: Sequence[Path], partition: int, partitions: int, path: Path, budget: int) -> tuple[int, int]:
    """Write the first page of every digest in a range that occurs more than once.

    Memory depends on the number of different digests in the range, not on how often one of them occurs.

    Args:
        splits: payload files of all inputs, in the order of the inputs.
        partition: which range,
        partitions: of so many.
        path: written in place.
        budget: bytes of memory to use, about.

    Returns:
        (digests that occur more than once, copies: all their pages but the first).
    """
    import pyarrow.compute as pc  # 20 ms that only this step needs

    most = max(1, budget // ROW_BYTES // 2)
    low, high = partition_bounds(partition, partitions)
    found: list[pa.Table] = [FIRSTS.empty_table()]
    for number, split in enumerate(splits):
        found.append(_numbered(_slice(split, low, high), number))
        if sum(map(len, found[1:])) >= most:
            found = [_first(found)]
    firsts = _first(found)
    firsts = firsts.filter(pc.greater(firsts["size"], 1))
    _write(path, firsts)
    return len(firsts), int(pc.sum(firsts["size"]).as_py() or 0) - len(firsts)


def look_up(payloads: Path, number: int, firsts: Sequence[Path]) -> tuple[pa.Table, pa.Table]:
    """What is known of the pages of input `number`.

    Args:
        payloads: its payload file.
        number: its place among the inputs.
        firsts: the files of all ranges, in their order.

    Returns:
        (copies: offset, passed, kept id; pages that have copies: offset, passed, size).
    """
    import pyarrow.compute as pc  # 20 ms that only this step needs

    copies, originals = [_COPIES.empty_table()], [_ORIGINALS.empty_table()]
    for partition, file in enumerate(firsts):
        pages, first_pages = _slice(payloads, *partition_bounds(partition, len(firsts))), _table(file)
        page_digests, first_digests = _digests(pages), _digests(first_pages)
        at = np.minimum(np.searchsorted(first_digests, page_digests), max(len(first_digests) - 1, 0))
        found = np.flatnonzero(first_digests[at] == page_digests) if len(first_digests) else np.empty(0, np.int64)
        pages, first_pages = pages.take(pa.array(found)), first_pages.take(pa.array(at[found]))
        is_first = pc.equal(first_pages["split"], number)
        for name in ("offset", "passed"):
            is_first = pc.and_(is_first, pc.equal(pages[name], first_pages[name]))
        places = pages.select(["offset", "passed"])
        copies.append(places.append_column("kept", first_pages["id"]).filter(pc.invert(is_first)))
        originals.append(places.append_column("size", first_pages["size"]).filter(is_first))
    return pa.concat_tables(copies), pa.concat_tables(originals)


_COPIES = pa.schema({"offset": pa.int64(), "passed": pa.int32(), "kept": pa.string()})
_ORIGINALS = pa.schema({"offset": pa.int64(), "passed": pa.int32(), "size": pa.int64()})


def halves(digests: Sequence[bytes]) -> U64:
    """Digests of 16 bytes as (high, low), shape (digests, 2)."""
    return np.frombuffer(b"".join(digests), ">u8").astype(np.uint64).reshape(-1, 2)


def _write(path: Path, table: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())


def _table(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
        return reader.read_all()


def _slice(path: Path, low: int, high: int) -> pa.Table:
    """Rows with `low` <= digest < `high`, copied, so that no mapping outlives the call."""
    table = _table(path)
    keys = table["high"].to_numpy()
    start = int(np.searchsorted(keys, np.uint64(low)))
    stop = len(keys) if high >= KEYS else int(np.searchsorted(keys, np.uint64(high)))
    return table.take(pa.array(np.arange(start, stop)))


def _numbered(table: pa.Table, number: int) -> pa.Table:
    table = table.append_column("split", pa.array(np.full(len(table), number, np.uint32)))
    return table.append_column("size", pa.array(np.ones(len(table), np.int64)))


def _first(tables: Sequence[pa.Table]) -> pa.Table:
    """The first row of each digest; `size` adds up."""
    import pyarrow.compute as pc  # 20 ms that only this step needs

    table = pa.concat_tables(tables)
    table = table.take(pc.sort_indices(table, sort_keys=[(name, "ascending") for name in _ORDER]))
    keys = _digests(table)
    first = np.ones(len(keys), np.bool_)
    first[1:] = keys[1:] != keys[:-1]
    starts = np.flatnonzero(first)
    sizes = np.add.reduceat(table["size"].to_numpy(), starts) if len(starts) else np.empty(0, np.int64)
    return table.take(pa.array(starts)).drop_columns("size").append_column("size", pa.array(sizes))


def _digests(table: pa.Table) -> npt.NDArray[np.bytes_]:
    """The digests as bytes of a fixed length, which sort as the two halves do."""
    pairs = np.column_stack([table["high"].to_numpy(), table["low"].to_numpy()]).astype(">u8")
    return np.ascontiguousarray(pairs).view("S16").reshape(-1)
