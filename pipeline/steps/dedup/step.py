"""Step 3: documents to documents without duplicates.

    documents -> clusters          signatures, edges and components (clusters.py)
    clusters -> members            one task per group: what is known of each member (dedup/choose.py)
    members -> verdicts            one task per bucket of clusters: which member stays
    verdicts -> overlaps           only beside previous runs: how similar the pairs are exactly (matches.py)
    documents + verdicts -> documents, dropped      one task per part

Nothing that comes out depends on how documents are grouped, on the number of tasks or on the memory they may use.
"""

import dataclasses
import functools
import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract.errors import IntegrityError
from pipeline.dedup.array_file import ArrayFile
from pipeline.dedup.choose import buckets_for, choose, write_members
from pipeline.dedup.config import DedupConfig
from pipeline.dedup.pairs import read_pairs
from pipeline.dedup.shingle_sets import SetFiles, jaccards
from pipeline.engine.ledger import Commit
from pipeline.steps.committing import commit_file, committed_files
from pipeline.steps.context import Commits, Context, Part
from pipeline.steps.dedup.clusters import cluster
from pipeline.steps.dedup.components import ClusterSlice
from pipeline.steps.dedup.matches import PreviousRunGroup, find_overlaps
from pipeline.steps.dedup.removal import KeepTask, RemoveTask, keep_part, remove_duplicates
from pipeline.steps.registry import DEDUP

MEMBERS, VERDICTS = f"{DEDUP.name}-members", f"{DEDUP.name}-verdicts"
GROUPS = 1024
"""Signature files to aim at: every range of hashes is read from every one of them."""
MIN_GROUP, MAX_GROUP = 1 << 14, 1 << 18
"""Documents in a group of parts; a part is never split."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class MembersTask:
    """One group of parts."""

    key: str
    out: Path
    parts: tuple[Part, ...]
    signature: Path
    clusters: ClusterSlice
    buckets: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class VerdictTask:
    """One bucket of clusters."""

    key: str
    out: Path
    bucket: int
    members: tuple[Path, ...]
    previous: tuple[Path, ...]
    """Members of groups of previous runs."""
    memory: int
    sets: tuple[SetFiles, ...] = ()
    """Of each group, where candidates were verified."""


def run(
    context: Context,
    parts: Sequence[Part],
    config: DedupConfig | None,
    signals: pa.DataType,
    previous: Sequence[PreviousRunGroup] = (),
) -> Commits:
    """The commits of the step, one per part.

    Args:
        context: the run.
        parts: of step 2.
        config: None keeps every document.
        signals: type of the documents' signals.
        previous: documents of other runs, which stay.

    Raises:
        IntegrityError: the clusters of the survivors do not add up to the documents that came in.
    """
    if config is None:
        return _keep_all(context, parts)
    groups = group_parts(parts)
    memory = context.settings.task_memory
    verdicts = _find(context, groups, previous, config, memory)
    overlaps = find_overlaps(context, groups, previous, verdicts, config, memory) if previous else ()
    tasks = [
        RemoveTask(key=part.key, out=context.out, part=part, group=number, first_row=first_row, verdicts=verdicts,
                   overlaps=overlaps[number] if previous else None, signals=signals, remove=config.remove,
                   dropped_text=context.settings.dropped_text)
        for number, group in enumerate(groups)
        for part, first_row in zip(group, _first_rows(group), strict=True)
    ]  # fmt: skip
    commits = context.run(DEDUP.name, remove_duplicates, tasks)
    entered, represented, matched = (
        sum(commit.counts[name] for commit in commits.values()) for name in ("entered", "represented", "matched")
    )
    if represented + matched != entered:
        raise IntegrityError(
            f"{DEDUP.name}: what came in stood for {entered} documents, the survivors for {represented}"
        )
    return commits


def _keep_all(context: Context, parts: Sequence[Part]) -> Commits:
    tasks = [KeepTask(key=part.key, out=context.out, part=part) for part in parts]
    return context.run(DEDUP.name, keep_part, tasks)


def group_parts(parts: Sequence[Part]) -> list[tuple[Part, ...]]:
    """Parts in groups of consecutive ones, of about equal numbers of documents."""
    size = min(MAX_GROUP, max(MIN_GROUP, sum(part.rows for part in parts) // GROUPS))
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


def _find(
    context: Context,
    groups: Sequence[tuple[Part, ...]],
    previous: Sequence[PreviousRunGroup],
    config: DedupConfig,
    memory: int,
) -> tuple[Path, ...]:
    """The files of verdicts."""
    out, new_groups = context.out, len(groups)
    clustered = cluster(context, groups, config, memory, previous)
    buckets = buckets_for(clustered.members, memory)
    member_tasks = [
        MembersTask(key=f"{number:06d}-in-{buckets}", out=out, parts=group, signature=clustered.signatures[number],
                    clusters=clustered.clusters[number], buckets=buckets)
        for number, group in enumerate([*groups, *(group.parts for group in previous)])
    ]  # fmt: skip
    members = committed_files(out, context.run(MEMBERS, gather_members, member_tasks))
    verdict_tasks = [
        VerdictTask(key=f"{bucket:05d}-of-{buckets}", out=out, bucket=bucket, members=members[:new_groups],
                    previous=members[new_groups:], memory=memory, sets=clustered.sets)
        for bucket in range(buckets)
    ]  # fmt: skip
    return committed_files(out, context.run(VERDICTS, judge_clusters, verdict_tasks))


def gather_members(task: MembersTask) -> Commit:
    """Write what decides between the members of a group."""
    start = time.process_time()
    pairs = read_pairs(task.clusters.path, task.clusters.start, task.clusters.stop)
    rows = pairs[:, 0] & np.uint64(0xFFFFFFFF)
    columns = ["id", "cluster_size"]
    documents = pa.concat_tables(pq.read_table(part.path, columns=columns) for part in task.parts).take(pa.array(rows))
    ids, sizes = documents["id"].to_pylist(), documents["cluster_size"].to_numpy()

    def write(path: Path) -> None:
        write_members(ArrayFile(task.signature), rows, pairs[:, 1], ids, task.buckets, path, sizes)

    return commit_file(task.out, MEMBERS, task.key, write, start, {"members": len(rows)})


def judge_clusters(task: VerdictTask) -> Commit:
    """Write which document of each cluster stays."""
    start = time.process_time()
    counts: dict[str, int] = {}
    exact = functools.partial(jaccards, task.sets, budget=task.memory // 2) if task.sets else None

    def write(path: Path) -> None:
        memory = task.memory // (2 if exact else 1)
        result = choose(task.members, task.bucket, path, memory, task.previous, exact=exact)
        counts["clusters"], counts["matched"] = result

    return commit_file(task.out, VERDICTS, task.key, write, start, counts)
