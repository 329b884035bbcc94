"""Which document of each cluster stays, and what the others are to it.

The members of all clusters are dealt into buckets by a hash of their cluster, a bucket holding whole clusters. A bucket
is gone through twice, group by group: once for the best document of each cluster, once for how similar every other
member is to it. Memory depends on the number of clusters, not on how many members one of them has.

Documents of previous runs (`dedup.previous_runs`) are members too, of groups that come after this run's. They are never
judged: where a cluster has any of them, all its other members go, each for the one it is most similar to.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dedup.array_file import ArrayFile
from pipeline.dedup.minhash import estimated_jaccard
from pipeline.dedup.shingles import U64, splitmix

Sizes = npt.NDArray[np.integer[Any]]
Similarity = Callable[[U64, U64], npt.NDArray[np.float64]]
"""Of the documents with the keys one[i] and other[i]."""
MEMBER_BYTES = 400
"""Memory for one member while winners are sorted out."""

VERDICTS = pa.schema(
    {
        "row": pa.uint32(),  # of the document within its group
        "kept": pa.string(),  # id of the document that stays; null: it is this one
        "jaccard": pa.float32(),  # similarity with it
        "same_text": pa.bool_(),  # equal after normalization
        "cluster_size": pa.int32(),  # documents of the cluster, those included that its members stood for before
        "old": pa.uint64(),  # where a previous run's stays: its group among theirs << 32 | row; else null
        "estimate": pa.float32(),  # the similarity as sketches have it, where `jaccard` is exact; else null
    }
)
"""One row for every document that has a duplicate."""
MAX_OLD = 16
"""Documents of previous runs to compare a new one with: in the order of the runs, the first of its cluster. There are
several only where those runs were not built against each other, or kept all."""


def buckets_for(members: int, budget: int) -> int:
    """Buckets that keep each within `budget` bytes."""
    return max(1, -(-members * MEMBER_BYTES // budget))


def write_members(
    signature: ArrayFile,
    rows: U64,
    roots: U64,
    ids: Sequence[str],
    buckets: int,
    path: Path,
    sizes: Sizes | None = None,
) -> None:
    """Write what `choose` needs of the members of a group, one record batch for each bucket.

    Args:
        signature: the group's signature file.
        rows: the group's documents that have an edge, ascending.
        roots: the smallest document of the cluster of each.
        ids: document ids, of each of `rows`.
        buckets: how many.
        path: where to.
        sizes: documents that each of `rows` stands for already; one, if not given.
    """
    at = rows.astype(np.int64)
    bucket = _bucket(roots, buckets)
    digest = np.empty((signature.rows("digest.key"), 2), np.uint64)
    digest[signature.read("digest.row")] = np.column_stack([signature.read("digest.key"), signature.read("digest.low")])
    columns = {
        "row": pa.array(rows.astype(np.uint32)),
        "root": pa.array(roots),
        "order": pa.array(signature.read("order")[at]),
        "id": pa.array(ids, pa.string()),
        "size": pa.array(np.ones(len(rows), np.int64) if sizes is None else sizes.astype(np.int64)),
        "digest": _binary(digest[at].view(np.uint8)),
    }
    if "sketch" in signature:
        columns["sketch"] = _binary(signature.read("sketch")[at])
    table = pa.table(columns)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        for number in range(buckets):
            writer.write_batch(_one_batch(table.filter(pa.array(bucket == number))))


def choose(
    members: Sequence[Path],
    bucket: int,
    path: Path,
    budget: int,
    previous: Sequence[Path] = (),
    exact: Similarity | None = None,
) -> tuple[int, int]:
    """Write the verdicts on a bucket, one record batch for each group in the order of `members`.

    Args:
        members: files of `write_members`, one for each group.
        bucket: which of the files' record batches.
        path: where to.
        budget: bytes of memory to use, about.
        previous: such files of previous runs, whose documents stay.
        exact: the Jaccard similarity of pairs of near-duplicates of this run; estimated from sketches, if not given.

    Returns:
        Clusters in the bucket, and documents that go for one of a previous run.
    """
    winners = _winners(members, bucket, max(1, budget // MEMBER_BYTES // 2))
    old = _previous_members(previous, bucket)
    matched = 0
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, VERDICTS) as writer:
        for group in range(len(members)):
            table = _members(members, group, bucket)
            verdicts = _judge(table, winners, old)
            verdicts = _measured(verdicts, table, winners, exact) if exact else verdicts
            matched += len(verdicts) - verdicts["old"].null_count
            writer.write_batch(_one_batch(verdicts))
    return len(winners), matched


def read_verdicts(files: Sequence[Path], group: int) -> pa.Table:
    """The verdicts on a group from the files of all buckets, by row."""
    return pa.concat_tables([_batch(file, group) for file in files]).sort_by("row")


def _batch(file: Path, number: int) -> pa.Table:
    with pa.memory_map(str(file)) as source, pa.ipc.open_file(source) as reader:
        return pa.Table.from_batches([reader.get_batch(number)])


def _members(files: Sequence[Path], group: int, bucket: int) -> pa.Table:
    table = _batch(files[group], bucket)
    return table.append_column("group", pa.array(np.full(len(table), group, np.int64)))


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def _winners(files: Sequence[Path], bucket: int, max_rows: int) -> pa.Table:
    """The best member of each cluster, sorted by root, with the size of its cluster; about `max_rows` at a time."""
    tables: list[pa.Table] = []
    for group in range(len(files)):
        tables.append(_members(files, group, bucket))
        if sum(map(len, tables[1:])) >= max_rows:
            tables = [_best(tables)]
    return _best(tables)


def _best(tables: Sequence[pa.Table]) -> pa.Table:
    """The first of each root by order and id (and, for one id given twice, by place); `size` adds up."""
    table = pa.concat_tables(tables)
    keys = [(name, "ascending") for name in ("root", "order", "id", "group", "row")]
    table = table.take(pc.sort_indices(table, sort_keys=keys))
    starts = _starts(table["root"].to_numpy())
    sizes = np.add.reduceat(table["size"].to_numpy(), starts) if len(starts) else np.empty(0, np.int64)
    best = table.take(pa.array(starts))
    return best.set_column(best.schema.get_field_index("size"), "size", pa.array(sizes))


def _previous_members(files: Sequence[Path], bucket: int) -> pa.Table | None:
    """Documents of previous runs that are in a cluster, sorted by root and place, the first MAX_OLD of each."""
    tables = [_members(files, group, bucket) for group in range(len(files))]
    table = pa.concat_tables(tables) if tables else None
    if table is None or not len(table):
        return None
    table = table.take(pc.sort_indices(table, sort_keys=[(name, "ascending") for name in ("root", "group", "row")]))
    starts = _starts(table["root"].to_numpy())
    rank = np.arange(len(table)) - np.repeat(starts, np.diff(starts, append=len(table)))
    return table.filter(pa.array(rank < MAX_OLD))


def _starts(sorted_keys: U64) -> npt.NDArray[np.int64]:
    """Where each distinct key begins."""
    first = np.ones(len(sorted_keys), np.bool_)
    first[1:] = sorted_keys[1:] != sorted_keys[:-1]
    return np.flatnonzero(first)


def _judge(members: pa.Table, winners: pa.Table, old: pa.Table | None) -> pa.Table:
    at = np.searchsorted(winners["root"].to_numpy(), members["root"].to_numpy())
    best = winners.take(pa.array(at))
    jaccard, same = _similarity(members, best)
    is_kept = pc.and_(pc.equal(members["group"], best["group"]), pc.equal(members["row"], best["row"]))
    kept = pc.if_else(is_kept, pa.scalar(None, pa.string()), best["id"])
    sizes = np.minimum(best["size"].to_numpy(), 2**31 - 1).astype(np.int32)
    columns = [members["row"], kept, pa.array(jaccard), pa.array(same), pa.array(sizes),
               pa.nulls(len(members), pa.uint64()), pa.nulls(len(members), pa.float32())]  # fmt: skip
    verdicts = pa.table(dict(zip(VERDICTS.names, columns, strict=True)), VERDICTS)
    return verdicts if old is None else _matched(members, verdicts, old)


def _measured(verdicts: pa.Table, members: pa.Table, winners: pa.Table, exact: Similarity) -> pa.Table:
    """The verdicts with the exact similarity of near-duplicates to the one of this run that stays."""
    near = verdicts["kept"].is_valid().to_numpy() & ~verdicts["same_text"].to_numpy()
    rows = np.flatnonzero(near & verdicts["old"].is_null().to_numpy())
    at = np.searchsorted(winners["root"].to_numpy(), members["root"].to_numpy()[rows])
    jaccard = verdicts["jaccard"].to_numpy().copy()
    measured = np.zeros(len(jaccard), np.bool_)
    measured[rows] = True
    estimate = pa.array(jaccard, mask=~measured)
    jaccard[rows] = exact(_keys(members.take(pa.array(rows))), _keys(winners.take(pa.array(at))))
    columns = {name: verdicts[name] for name in VERDICTS.names} | {"jaccard": pa.array(jaccard), "estimate": estimate}
    return pa.table(columns, VERDICTS)


def _keys(table: pa.Table) -> U64:
    """Document keys `group << 32 | row`."""
    group, row = (table[name].to_numpy().astype(np.uint64) for name in ("group", "row"))
    return np.asarray(group << np.uint64(32) | row, np.uint64)


def _matched(members: pa.Table, verdicts: pa.Table, old: pa.Table) -> pa.Table:
    """The verdicts where members of clusters that have old documents go for the most similar of those, ties to the
    first."""
    roots, old_roots = members["root"].to_numpy(), old["root"].to_numpy()
    begin, end = np.searchsorted(old_roots, roots), np.searchsorted(old_roots, roots, side="right")
    jaccard = np.where(end > begin, np.float32(-1), verdicts["jaccard"].to_numpy())
    same = verdicts["same_text"].to_numpy() & (end == begin)
    match = begin.copy()
    for turn in range(int((end - begin).max(initial=0))):
        rows = np.flatnonzero(begin + turn < end)
        similar, equal = _similarity(members.take(pa.array(rows)), old.take(pa.array(begin[rows] + turn)))
        better = (similar > jaccard[rows]) | (equal & ~same[rows])
        rows, similar, equal = rows[better], similar[better], equal[better]
        jaccard[rows], same[rows], match[rows] = similar, equal, begin[rows] + turn
    has_old = pa.array(end > begin)
    matches = old.take(pa.array(np.minimum(match, len(old) - 1)))
    columns = {name: verdicts[name] for name in verdicts.column_names} | {
        "kept": pc.if_else(has_old, matches["id"], verdicts["kept"]),
        "jaccard": pa.array(jaccard),
        "same_text": pa.array(same),
        "old": pc.if_else(has_old, pa.array(_keys(matches)), pa.scalar(None, pa.uint64())),
    }
    return pa.table(columns, VERDICTS)


def _similarity(members: pa.Table, others: pa.Table) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """(Jaccard similarity as estimated, whether the texts are the same) of members[i] and theirs[i]."""
    same = (_bytes(members["digest"]) == _bytes(others["digest"])).all(axis=1)
    if "sketch" not in members.column_names:
        return same.astype(np.float32), same
    estimated = estimated_jaccard(_bytes(members["sketch"]), _bytes(others["sketch"]))
    return np.where(same, np.float32(1), estimated), same


def _bucket(roots: U64, buckets: int) -> npt.NDArray[np.int64]:
    return (splitmix(roots.copy()) % np.uint64(buckets)).astype(np.int64)


def _binary(rows: npt.NDArray[np.uint8]) -> pa.Array:
    rows = np.ascontiguousarray(rows)
    return pa.Array.from_buffers(pa.binary(rows.shape[1]), len(rows), [None, pa.py_buffer(rows)])


def _bytes(column: pa.ChunkedArray) -> npt.NDArray[np.uint8]:
    array = column.combine_chunks()
    width = array.type.byte_width
    flat = np.frombuffer(array.buffers()[1] or b"", np.uint8)
    return flat[array.offset * width : (array.offset + len(array)) * width].reshape(-1, width)
