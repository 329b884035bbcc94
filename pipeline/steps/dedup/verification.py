"""Step 3, between signatures and clusters, where candidates are verified: bands to edges of known similarity.

signatures -> candidates       one task per range of hashes: who is compared with whom (dedup/candidates.py)
documents + candidates -> sets one task per group: the shingles of those that are compared (dedup/shingle_sets.py)
candidates + sets -> verified  one task per group: the pairs that are similar enough
"""

import dataclasses
import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.dedup.array_file import ArrayFile, write_arrays
from pipeline.dedup.candidates import NAME, bands_of_texts, candidate_blocks
from pipeline.dedup.config import DedupConfig, VerifyConfig
from pipeline.dedup.edges import partition_bounds
from pipeline.dedup.pairs import PairWriter, distinct
from pipeline.dedup.plan import partitions_for
from pipeline.dedup.shingle_sets import SetFiles, first_of_each, jaccards, write_sets
from pipeline.dedup.shingles import Shingled
from pipeline.dedup.signing import shingled
from pipeline.dedup.sorted_runs import StoredRun, grouped
from pipeline.engine.ledger import Commit, Ledger
from pipeline.steps.committing import commit_file, cpu_seconds_since, edge_files, publish
from pipeline.steps.context import Context, Part
from pipeline.steps.registry import DEDUP

CANDIDATES, SETS, VERIFIED = (f"{DEDUP.name}-{name}" for name in ("candidates", "sets", "verified"))
READ_ROWS = 256


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class CandidateTask:
    """One range of hashes."""

    key: str
    out: Path
    partition: int
    partitions: int
    signatures: tuple[Path, ...]
    anchors: int
    memory: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SetsTask:
    """One group of parts."""

    key: str
    out: Path
    group: int
    parts: tuple[Part, ...]
    signature: Path
    candidates: tuple[Path, ...]
    config: DedupConfig
    memory: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class VerifyTask:
    """The pairs whose larger document is of one group."""

    key: str
    out: Path
    group: int
    candidates: tuple[Path, ...]
    sets: tuple[SetFiles, ...]
    min_jaccard: float
    memory: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """What the verification leaves."""

    edges: Mapping[Path, int]
    """Files of pairs that are similar enough, and how many pairs each has."""
    sets: tuple[SetFiles, ...]
    """Of each group: the shingles of every document that shares a band with another text."""


def verify_candidates(
    context: Context,
    groups: Sequence[tuple[Part, ...]],
    signatures: tuple[Path, ...],
    config: DedupConfig,
    verify: VerifyConfig,
    *,
    band_rows: int,
    memory: int,
) -> Verified:
    """The edges of near-duplicates, each compared shingle by shingle."""
    out = context.out
    partitions = partitions_for(band_rows * (1 + verify.anchors), memory)
    # How the pairs fall into files depends on the memory: a run that goes on with another has other tasks.
    budget = f"in-{memory}"
    candidate_tasks = [
        CandidateTask(key=f"{part:05d}-of-{partitions}-{budget}", out=out, partition=part, partitions=partitions,
                      signatures=signatures, anchors=verify.anchors, memory=memory)
        for part in range(partitions)
    ]  # fmt: skip
    found = context.run(CANDIDATES, find_candidates, candidate_tasks)
    candidates = tuple(out / entry.path for commit in found.values() for entry in commit.files)
    sets_tasks = [
        SetsTask(key=f"{number:06d}", out=out, group=number, parts=group, signature=signatures[number],
                 candidates=candidates, config=config, memory=memory)
        for number, group in enumerate(groups)
    ]  # fmt: skip
    stored = context.run(SETS, store_sets, sets_tasks)
    sets = tuple(
        SetFiles(index=out / commit.files[0].path, shingles=out / commit.files[1].path) for commit in stored.values()
    )
    verify_tasks = [
        VerifyTask(key=f"{number:06d}-{budget}", out=out, group=number, candidates=candidates, sets=sets,
                   min_jaccard=verify.min_jaccard, memory=memory)
        for number in range(len(groups))
    ]  # fmt: skip
    verified = context.run(VERIFIED, verify_pairs, verify_tasks)
    return Verified(edges=edge_files(out, verified), sets=sets)


def find_candidates(task: CandidateTask) -> Commit:
    """Write the pairs to compare of a range of hashes, as sorted runs."""
    start = time.process_time()
    runs = [bands_of_texts(ArrayFile(path), group) for group, path in enumerate(task.signatures)]
    low, high = partition_bounds(task.partition, task.partitions)
    entries = []
    pairs = 0
    for number, arrays in enumerate(candidate_blocks(runs, low, high, task.anchors, task.memory)):
        name = f"steps/{CANDIDATES}/files/{task.key}.{number:04d}"
        entries.append(publish(task.out, name, functools.partial(write_arrays, arrays=arrays)))
        pairs += int((arrays[f"{NAME}.key"] != arrays[f"{NAME}.row"]).sum())
    commit = Commit(key=task.key, files=tuple(entries), counts={"candidates": pairs}, seconds=cpu_seconds_since(start))
    return Ledger(task.out, CANDIDATES).commit(commit)


def store_sets(task: SetsTask) -> Commit:
    """Write the shingles of the documents of a group that are compared with any."""
    start = time.process_time()
    rows = _compared(task)
    signature = ArrayFile(task.signature)
    digests = np.empty((signature.rows("order"), 2), np.uint64)
    digests[signature.read("digest.row")] = np.column_stack(
        [signature.read("digest.key"), signature.read("digest.low")]
    )
    first, number = first_of_each(digests[rows])
    offsets = np.zeros(1, np.int64)

    def write(path: Path) -> None:
        nonlocal offsets
        offsets = write_sets(_shingled(task, rows[first]), path)

    def write_index(path: Path) -> None:
        write_arrays(path, {"row": rows.astype(np.uint32), "set": number, "offsets": offsets})

    name = f"steps/{SETS}/files/{task.key}"
    shingles = publish(task.out, f"{name}.shingles", write)
    index = publish(task.out, f"{name}.index", write_index)
    counts = {"compared": len(rows), "sets": len(first), "shingles": int(offsets[-1])}
    commit = Commit(key=task.key, files=(index, shingles), counts=counts, seconds=cpu_seconds_since(start))
    return Ledger(task.out, SETS).commit(commit)


def verify_pairs(task: VerifyTask) -> Commit:
    """Write the pairs of a group that are as similar as is wanted."""
    start = time.process_time()
    counts = {"compared": 0, "edges": 0}

    def write(path: Path) -> None:
        with PairWriter(path) as writer:
            for larger, smaller in _pairs(task.candidates, task.group, task.memory // 4):
                apart = larger != smaller
                left, right = distinct(larger[apart], smaller[apart])
                similar = jaccards(task.sets, left, right, task.memory // 2) >= task.min_jaccard
                writer.append(left[similar], right[similar])
                counts["compared"] += len(left)
            counts["edges"] = writer.pairs

    return commit_file(task.out, VERIFIED, task.key, write, start, counts)


def _pairs(
    candidates: Sequence[Path], group: int, budget: int
) -> Iterator[tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]]:
    """Blocks of the candidates whose larger document is of the group, sorted by it."""
    runs = [StoredRun(ArrayFile(path), NAME, 0) for path in candidates]
    for block in grouped(runs, group << 32, (group + 1) << 32, budget):
        yield block.keys, block.values


def _compared(task: SetsTask) -> npt.NDArray[np.int64]:
    """The documents of the group that any pair names: each of those stands in a pair with itself."""
    found = [np.unique(larger) for larger, _ in _pairs(task.candidates, task.group, task.memory // 2)]
    keys = np.unique(np.concatenate([np.empty(0, np.uint64), *found]))
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _shingled(task: SetsTask, rows: npt.NDArray[np.int64]) -> Iterator[Shingled]:
    """The shingles of the documents at `rows` of the group, which ascend."""
    first = 0
    for part in task.parts:
        with pq.ParquetFile(part.path) as source:
            for batch in source.iter_batches(READ_ROWS, columns=["text"]):
                low, high = np.searchsorted(rows, [first, first + len(batch)]).tolist()
                if low < high:
                    yield shingled(batch["text"].take(pa.array(rows[low:high] - first)).to_pylist(), task.config)
                first += len(batch)
