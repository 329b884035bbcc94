"""Step 3: documents to documents without duplicates.

    documents -> signatures        one task per group of parts: digests, bands, sketches (dedup/signing.py)
    signatures -> edges            one task per range of hashes: who shares one (dedup/edges.py)
    edges -> clusters              one task: connected components (dedup/components.py)
    clusters -> members            one task per group: what is known of each member (dedup/choose.py)
    members -> verdicts            one task per bucket of clusters: which member stays
    documents + verdicts -> documents, dropped      one task per part

Nothing that comes out depends on how documents are grouped, on the number of tasks or on the memory they may use.
"""

import dataclasses
import itertools
import shutil
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract.errors import IntegrityError
from pipeline.dedup.arrayfile import ArrayFile, write_arrays
from pipeline.dedup.choose import buckets_for, choose, write_members
from pipeline.dedup.components import write_components
from pipeline.dedup.config import DedupConfig
from pipeline.dedup.edges import write_edges
from pipeline.dedup.pairs import read_pairs
from pipeline.dedup.plan import partitions_for
from pipeline.dedup.runs import StoredRun
from pipeline.dedup.signing import Signer
from pipeline.engine.ledger import Commit, FileEntry, Ledger
from pipeline.steps.context import Commits, Context, Part
from pipeline.steps.removal import FOLDER, STEP, KeepTask, RemoveTask, keep_part, remove_duplicates
from pipeline.storage.files import write_atomic

__all__ = ["FOLDER", "STEP", "run"]

SIGNATURES, EDGES, CLUSTERS, MEMBERS, VERDICTS = (
    f"{STEP}-{name}" for name in ("signatures", "edges", "clusters", "members", "verdicts")
)
MEMORY = 1 << 30
"""Bytes for one task, where the config reserves none (`run.ray.memory_per_task`)."""
GROUPS = 1024
"""Signature files to aim at: every range of hashes is read from every one of them."""
LEAST_GROUP, LARGEST_GROUP = 1 << 14, 1 << 18
"""Documents in a group of parts; a part is never split."""
READ_ROWS = 256


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SignTask:
    """One group of parts."""

    key: str
    out: Path
    parts: tuple[Part, ...]
    config: DedupConfig


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class EdgeTask:
    """One range of hashes."""

    key: str
    out: Path
    run: str
    """Which hashes: `digest` or `band`."""
    partition: int
    partitions: int
    signatures: tuple[Path, ...]
    memory: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ClusterTask:
    """All edges."""

    key: str
    out: Path
    edges: tuple[Path, ...]
    group_sizes: tuple[int, ...]
    memory: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MembersTask:
    """One group of parts."""

    key: str
    out: Path
    parts: tuple[Part, ...]
    signature: Path
    clusters: Path
    start: int
    """The group's pairs in the file of clusters."""
    stop: int
    buckets: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class VerdictTask:
    """One bucket of clusters."""

    key: str
    out: Path
    bucket: int
    members: tuple[Path, ...]
    memory: int


def run(context: Context, parts: Sequence[Part], config: DedupConfig | None, signals: pa.DataType) -> Commits:
    """The commits of the step, one per part.

    Args:
        context: the run.
        parts: of step 2.
        config: None keeps every document.
        signals: type of the documents' signals.

    Raises:
        IntegrityError: the clusters of the survivors do not add up to the documents that came in.
    """
    if config is None:
        return context.run(STEP, keep_part, [KeepTask(key=part.key, out=context.out, part=part) for part in parts])
    groups = group_parts(parts)
    memory = context.settings.ray.memory_per_task or MEMORY
    verdicts = _find(context, groups, config, memory)
    tasks = [
        RemoveTask(key=part.key, out=context.out, part=part, group=number, first_row=first_row, verdicts=verdicts,
                   signals=signals, dropped_text=context.settings.dropped_text)
        for number, group in enumerate(groups)
        for part, first_row in zip(group, _first_rows(group), strict=True)
    ]  # fmt: skip
    commits = context.run(STEP, remove_duplicates, tasks)
    read = sum(part.rows for part in parts)
    represented = sum(commit.counts["represented"] for commit in commits.values())
    if represented != read:
        raise IntegrityError(f"{STEP}: {read} documents came in, the survivors stand for {represented}")
    return commits


def group_parts(parts: Sequence[Part]) -> list[tuple[Part, ...]]:
    """Parts in groups of consecutive ones, of about equal numbers of documents."""
    size = min(LARGEST_GROUP, max(LEAST_GROUP, sum(part.rows for part in parts) // GROUPS))
    groups: list[list[Part]] = []
    room = 0
    for part in parts:
        if not groups or part.rows > room:
            groups.append([])
            room = size
        groups[-1].append(part)
        room -= part.rows
    return [tuple(group) for group in groups]


def _first_rows(group: Sequence[Part]) -> list[int]:
    """Documents of the group that lie before each part."""
    return list(itertools.accumulate((part.rows for part in group[:-1]), initial=0))


def _find(context: Context, groups: Sequence[tuple[Part, ...]], config: DedupConfig, memory: int) -> tuple[Path, ...]:
    """The files of verdicts: every phase but the last."""
    out = context.out
    tasks = [SignTask(key=f"{number:06d}", out=out, parts=group, config=config) for number, group in enumerate(groups)]
    signed = context.run(SIGNATURES, sign, tasks)
    signatures = _files(out, signed)
    edge_tasks = _edge_tasks(out, config, signed, signatures, memory)
    edges = _files(out, context.run(EDGES, find_edges, edge_tasks))
    sizes = tuple(sum(part.rows for part in group) for group in groups)
    cluster_task = ClusterTask(key="all", out=out, edges=edges, group_sizes=sizes, memory=memory)
    clustered = context.run(CLUSTERS, find_clusters, [cluster_task])["all"]
    (clusters,) = _files(out, {"all": clustered})
    at = clustered.notes["positions"]
    buckets = buckets_for(at[-1], memory)
    member_tasks = [
        MembersTask(key=f"{number:06d}-in-{buckets}", out=out, parts=group, signature=signatures[number],
                    clusters=clusters, start=at[number], stop=at[number + 1], buckets=buckets)
        for number, group in enumerate(groups)
    ]  # fmt: skip
    members = _files(out, context.run(MEMBERS, gather_members, member_tasks))
    verdict_tasks = [
        VerdictTask(key=f"{bucket:05d}-of-{buckets}", out=out, bucket=bucket, members=members, memory=memory)
        for bucket in range(buckets)
    ]
    return _files(out, context.run(VERDICTS, judge_clusters, verdict_tasks))


def _edge_tasks(
    out: Path, config: DedupConfig, signed: Commits, signatures: tuple[Path, ...], memory: int
) -> list[EdgeTask]:
    tasks = []
    for name, wanted in (("digest", config.exact), ("band", config.minhash is not None)):
        rows = sum(commit.counts[f"{name}_rows"] for commit in signed.values())
        parts = partitions_for(rows, memory) if wanted else 0
        tasks += [
            EdgeTask(key=f"{name}-{part:05d}-of-{parts}", out=out, run=name, partition=part, partitions=parts,
                     signatures=signatures, memory=memory)
            for part in range(parts)
        ]  # fmt: skip
    return tasks


def sign(task: SignTask) -> Commit:
    """Write the signature file of a group."""
    start = time.process_time()
    signer = Signer(task.config)
    column = None if task.config.scope == "global" else task.config.scope
    for part in task.parts:
        with pq.ParquetFile(part.path) as source:
            for batch in source.iter_batches(READ_ROWS, columns=["text", "date", "dump", "language"]):
                scopes = batch[column].to_pylist() if column else [""] * len(batch)
                signer.add(batch["text"].to_pylist(), batch["date"].to_numpy(zero_copy_only=False), scopes)
    arrays = signer.arrays()
    counts = {f"{name}_rows": len(arrays.get(f"{name}.key", ())) for name in ("digest", "band")}
    counts["documents"] = signer.documents
    return _commit(task.out, SIGNATURES, task.key, lambda path: write_arrays(path, arrays), start, counts)


def find_edges(task: EdgeTask) -> Commit:
    """Write the edges of a range of hashes."""
    start = time.process_time()
    files = [ArrayFile(path) for path in task.signatures]
    runs = [StoredRun(file, task.run, group) for group, file in enumerate(files)]
    counts: dict[str, int] = {}

    def write(path: Path) -> None:
        counts["edges"] = write_edges(runs, task.partition, task.partitions, path, task.memory)

    return _commit(task.out, EDGES, task.key, write, start, counts)


def find_clusters(task: ClusterTask) -> Commit:
    """Write the connected components of all edges."""
    start = time.process_time()
    counts: dict[str, int] = {}
    notes: dict[str, list[int]] = {}
    scratch = task.out / "steps" / CLUSTERS / f".{uuid.uuid4().hex}.tmp"
    scratch.mkdir(parents=True)

    def write(path: Path) -> None:
        pairs, notes["positions"] = write_components(task.edges, task.group_sizes, path, scratch, task.memory)
        counts["members"] = pairs

    try:
        return _commit(task.out, CLUSTERS, task.key, write, start, counts, notes)
    finally:
        shutil.rmtree(scratch)


def gather_members(task: MembersTask) -> Commit:
    """Write what decides between the members of a group."""
    start = time.process_time()
    pairs = read_pairs(task.clusters, task.start, task.stop)
    rows = pairs[:, 0] & np.uint64(0xFFFFFFFF)
    ids = pa.concat_tables(pq.read_table(part.path, columns=["id"]) for part in task.parts)["id"]
    chosen = ids.take(pa.array(rows)).to_pylist()

    def write(path: Path) -> None:
        write_members(ArrayFile(task.signature), rows, pairs[:, 1], chosen, task.buckets, path)

    return _commit(task.out, MEMBERS, task.key, write, start, {"members": len(rows)})


def judge_clusters(task: VerdictTask) -> Commit:
    """Write which document of each cluster stays."""
    start = time.process_time()
    counts: dict[str, int] = {}

    def write(path: Path) -> None:
        counts["clusters"] = choose(task.members, task.bucket, path, task.memory)

    return _commit(task.out, VERDICTS, task.key, write, start, counts)


def _commit(
    out: Path,
    step: str,
    key: str,
    write: Callable[[Path], object],
    start: float,
    counts: Mapping[str, int],
    notes: Mapping[str, Any] | None = None,
) -> Commit:
    """Publish the one file of a task and commit; `counts` and `notes` are read after the file is written."""
    name = f"steps/{step}/files/{key}"
    info = write_atomic(out / name, write)
    entry = FileEntry(path=name, bytes=info.bytes, sha256=info.sha256)
    seconds = {"total": round(time.process_time() - start, 6)}
    return Ledger(out, step).commit(Commit(key=key, files=(entry,), counts=counts, seconds=seconds, notes=notes or {}))


def _files(out: Path, commits: Commits) -> tuple[Path, ...]:
    return tuple(out / commit.files[0].path for commit in commits.values())
