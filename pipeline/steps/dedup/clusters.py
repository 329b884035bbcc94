"""Step 3, first half: documents to clusters.

    documents -> signatures        one task per group of parts: digests, bands, sketches (dedup/signing.py)
    signatures -> edges            one task per range of hashes: who shares one (dedup/edges.py)
    bands + documents -> edges     where candidates are verified (verification.py)
    edges -> clusters              connected components: one task, or many in passes (components.py)

Nothing that comes out depends on how documents are grouped, on the number of tasks or on the memory they may use.
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.dedup.array_file import ArrayFile, write_arrays
from pipeline.dedup.config import DedupConfig
from pipeline.dedup.edges import write_edges
from pipeline.dedup.keep import keep_columns, keep_orders
from pipeline.dedup.plan import partitions_for
from pipeline.dedup.shingle_sets import SetFiles
from pipeline.dedup.signing import Signer
from pipeline.dedup.sorted_runs import StoredRun
from pipeline.engine.ledger import Commit
from pipeline.steps.committing import commit_file, committed_files, edge_files
from pipeline.steps.context import Commits, Context, Part
from pipeline.steps.dedup.components import ClusterSlice, find_components
from pipeline.steps.dedup.matches import PreviousRunGroup
from pipeline.steps.dedup.verification import verify_candidates
from pipeline.steps.registry import DEDUP

SIGNATURES, EDGES = f"{DEDUP.name}-signatures", f"{DEDUP.name}-edges"
READ_ROWS = 256
Group = tuple[Part, ...]
"""Consecutive parts whose documents are numbered together."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Clustered:
    """What the first half leaves for the second."""

    signatures: tuple[Path, ...]
    """Of each group."""
    clusters: tuple[ClusterSlice, ...]
    """Of each group."""
    sets: tuple[SetFiles, ...] = ()
    """Of each group, where candidates were verified: the shingles of all near-duplicates."""

    @property
    def members(self) -> int:
        """Documents that have a duplicate."""
        return sum(clusters.stop - clusters.start for clusters in self.clusters)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SignTask:
    """One group of parts."""

    key: str
    out: Path
    parts: Group
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


def cluster(
    context: Context,
    groups: Sequence[Group],
    config: DedupConfig,
    memory: int,
    previous: Sequence[PreviousRunGroup] = (),
) -> Clustered:
    """Sign the documents and find their clusters; groups of previous runs, signed already, come after the others."""
    out = context.out
    tasks = [SignTask(key=f"{number:06d}", out=out, parts=group, config=config) for number, group in enumerate(groups)]
    signed = context.run(SIGNATURES, sign, tasks)
    signatures = (*committed_files(out, signed), *(group.signature for group in previous))
    groups = [*groups, *(group.parts for group in previous)]
    rows = {name: _rows(name, signed, previous) for name in ("digest", "band")}
    edge_tasks = _edge_tasks(out, config, rows, signatures, memory)
    edges = edge_files(out, context.run(EDGES, find_edges, edge_tasks))
    sets: tuple[SetFiles, ...] = ()
    if config.minhash and config.minhash.verify:
        verified = verify_candidates(context, groups, signatures, config, config.minhash.verify,
                                     band_rows=rows["band"], memory=memory)  # fmt: skip
        edges, sets = {**edges, **verified.edges}, verified.sets
    sizes = [sum(part.rows for part in group) for group in groups]
    clusters = find_components(context, edges, sizes, memory)
    return Clustered(signatures=signatures, clusters=clusters, sets=sets)


def _rows(name: str, signed: Commits, previous: Sequence[PreviousRunGroup]) -> int:
    """Hashes of one kind in all signature files."""
    rows = sum(commit.counts[f"{name}_rows"] for commit in signed.values())
    return rows + sum(ArrayFile(group.signature).rows(f"{name}.key") for group in previous)


def _edge_tasks(
    out: Path, config: DedupConfig, rows: Mapping[str, int], signatures: tuple[Path, ...], memory: int
) -> list[EdgeTask]:
    tasks = []
    by_band = config.minhash is not None and config.minhash.verify is None
    for name, wanted in (("digest", config.exact), ("band", by_band)):
        parts = partitions_for(rows[name], memory) if wanted else 0
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
    columns = list(dict.fromkeys(["text", *keep_columns(task.config.keep), *([column] if column else [])]))
    for part in task.parts:
        with pq.ParquetFile(part.path) as source:
            for batch in source.iter_batches(READ_ROWS, columns=columns):
                scopes = batch[column].to_pylist() if column else [""] * len(batch)
                signer.add(batch["text"].to_pylist(), keep_orders(task.config.keep, batch), scopes)
    arrays = signer.arrays()
    counts = {f"{name}_rows": len(arrays.get(f"{name}.key", ())) for name in ("digest", "band")}
    counts["documents"] = signer.documents
    return commit_file(task.out, SIGNATURES, task.key, lambda path: write_arrays(path, arrays), start, counts)


def find_edges(task: EdgeTask) -> Commit:
    """Write the edges of a range of hashes."""
    start = time.process_time()
    files = [ArrayFile(path) for path in task.signatures]
    runs = [StoredRun(file, task.run, group) for group, file in enumerate(files)]
    counts: dict[str, int] = {}

    def write(path: Path) -> None:
        counts["edges"] = write_edges(runs, task.partition, task.partitions, path, task.memory)

    return commit_file(task.out, EDGES, task.key, write, start, counts)
