"""Step 3, edges to clusters: in one task where documents or edges fit its memory, else in passes over Ray.

    edges -> 00-contract                                    one task per some edge files: stars of what they connect
    00-contract -> 01-large -> 01-small -> 02-large ...     one task per range of documents, until nothing moves
    last pass -> clusters                                   one task per range of documents

Each pass is a ledger of its own, so that a killed run goes on in the middle of a pass. The files of a pass are deleted
when the next one is complete; its commits stay, without files, as the record of what it did (see dedup/star_passes.py).
"""

import dataclasses
import itertools
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.contract.manifest import write_json
from pipeline.dedup.array_file import ArrayFile, write_arrays
from pipeline.dedup.components import fits, write_components
from pipeline.dedup.pairs import PairWriter
from pipeline.dedup.sorted_runs import ROW_BYTES
from pipeline.dedup.star_passes import BLOCK_SHARE, Sink, contract_edges, large_star, small_star, star_members
from pipeline.dedup.union_find import CONTRACT_BYTES
from pipeline.engine.ledger import Commit, FileEntry, Ledger, add_counts
from pipeline.steps.committing import cpu_seconds_since, publish
from pipeline.steps.context import Commits, Context
from pipeline.steps.registry import DEDUP

CLUSTERS = f"{DEDUP.name}-clusters"
MAX_TASKS = 1024
"""Tasks of a pass at most: each reads from the files of all tasks of the pass before."""
USED_UP = "used_up"
"""In the notes of a commit whose files are deleted."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ClusterSlice:
    """Where the documents of one group that have a duplicate stand."""

    path: Path
    """Pairs (document, smallest document of its cluster), sorted by document."""
    start: int
    stop: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ClusterTask:
    """Some files of edges."""

    key: str
    out: Path
    edges: tuple[Path, ...]
    group_sizes: tuple[int, ...]
    memory: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StarTask:
    """One range of documents in one pass, or in the last look at them."""

    key: str
    out: Path
    step: str
    files: tuple[Path, ...]
    """Of the pass before."""
    first: int
    """First group of the range."""
    end: int
    """The group after the last."""
    memory: int


def find_components(
    context: Context, edges: Mapping[Path, int], group_sizes: Sequence[int], memory: int
) -> tuple[ClusterSlice, ...]:
    """The clusters of the documents, by group.

    Args:
        context: the run.
        edges: files of pairs, and how many pairs each has.
        group_sizes: documents in each group of parts; document keys are `group << 32 | row`.
        memory: bytes for one task.
    """
    sizes = tuple(group_sizes)
    if fits(sum(sizes), sum(edges.values()), memory):
        whole = ClusterTask(key="all", out=context.out, edges=tuple(edges), group_sizes=sizes, memory=memory)
        commits = context.run(CLUSTERS, join_all, [whole])
    else:
        commits = _in_passes(context, edges, sizes, memory)
    return tuple(
        ClusterSlice(path=context.out / commit.files[0].path, start=start, stop=stop)
        for commit in commits.values()
        for start, stop in itertools.pairwise(commit.notes["positions"])
    )


def _in_passes(context: Context, edges: Mapping[Path, int], sizes: tuple[int, ...], memory: int) -> Commits:
    out, ranges = context.out, node_ranges(sizes, sum(edges.values()), memory)
    contracting = [
        ClusterTask(key=_key(number, chunks), out=out, edges=chunk, group_sizes=(), memory=memory)
        for chunks in [edge_chunks(edges, memory)]
        for number, chunk in enumerate(chunks)
    ]

    def tasks(step: str, files: tuple[Path, ...]) -> list[StarTask]:
        return [
            StarTask(key=_key(number, ranges), out=out, step=step, files=files, first=first, end=end, memory=memory)
            for number, (first, end) in enumerate(ranges)
        ]

    done = _complete(out, CLUSTERS, tasks(CLUSTERS, ()))
    files = () if done else _settled(context, contracting, tasks)
    commits = context.run(CLUSTERS, list_members, tasks(CLUSTERS, files))
    _use_up(out, before=len(_passes(out)))
    return commits


def _settled(
    context: Context, contracting: Sequence[ClusterTask], tasks: Callable[[str, tuple[Path, ...]], list[StarTask]]
) -> tuple[Path, ...]:
    """The files of the last pass, which leaves a star of every component."""
    out, number, commits = context.out, 0, None
    for number in reversed(range(len(_passes(out)))):  # go on from the last complete one
        commits = _complete(out, pass_name(number), tasks("", ()) if number else contracting)
        if commits:
            break
    if commits:
        _use_up(out, before=number)
    else:
        # None has begun, or they were made with other memory, or a disk lost their files. The last goes first, so that
        # none ever stands without those before it.
        for folder in reversed(_passes(out)):
            shutil.rmtree(folder)
        commits = context.run(pass_name(0), contract, contracting)
    while not _nothing_moved(out, number):
        number += 1
        step = pass_name(number)
        commits = context.run(step, widen if number % 2 else narrow, tasks(step, _files(out, commits)))
        _use_up(out, before=number)
    return _files(out, commits)


def pass_name(number: int) -> str:
    """The ledger of a pass: the contraction, then large and small stars by turns."""
    return f"{CLUSTERS}-{(number + 1) // 2:02d}-{('large' if number % 2 else 'small') if number else 'contract'}"


def node_ranges(group_sizes: Sequence[int], edges: int, memory: int) -> list[tuple[int, int]]:
    """Ranges of whole groups, of about as many documents each: (first group, group after the last).

    A range has about the edges that fit the memory, both ways round, if they are spread evenly.
    """
    wanted = -(-2 * edges * ROW_BYTES * BLOCK_SHARE // memory)
    count = max(1, min(wanted, MAX_TASKS, len(group_sizes)))
    ends = np.cumsum(group_sizes)
    targets = ends[-1] * np.arange(1, count) // count
    cuts = np.unique([0, *(np.searchsorted(ends, targets) + 1).tolist(), len(group_sizes)]).tolist()
    return list(itertools.pairwise(cuts))


def edge_chunks(edges: Mapping[Path, int], memory: int) -> list[tuple[Path, ...]]:
    """Consecutive files of edges put together until they fill the memory."""
    room = max(memory // 2 // CONTRACT_BYTES, sum(edges.values()) // MAX_TASKS)
    chunks: list[list[Path]] = []
    left = 0
    for path, pairs in edges.items():
        if not chunks or pairs > left:
            chunks.append([])
            left = room
        chunks[-1].append(path)
        left -= pairs
    return [tuple(chunk) for chunk in chunks]


def join_all(task: ClusterTask) -> Commit:
    """Write the clusters of all documents."""
    start = time.process_time()
    positions: list[int] = []

    def write(path: Path) -> None:
        positions.extend(write_components(task.edges, task.group_sizes, path, task.memory))

    entry = publish(task.out, f"steps/{CLUSTERS}/files/{task.key}", write)
    counts, notes = {"members": positions[-1]}, {"positions": positions}
    return _commit(task.out, CLUSTERS, task.key, [entry], counts, start, notes)


def contract(task: ClusterTask) -> Commit:
    """Write stars of what the edges of some files connect."""
    start, step = time.process_time(), pass_name(0)
    files = _Files(task.out, step, task.key)
    pairs = contract_edges(task.edges, files, task.memory)
    return _commit(task.out, step, task.key, files.entries, {"edges": pairs}, start)


def widen(task: StarTask) -> Commit:
    """Write the large stars of a range."""
    return _star(task, large_star)


def narrow(task: StarTask) -> Commit:
    """Write the small stars of a range."""
    return _star(task, small_star)


def _star(task: StarTask, star: Callable[[Sequence[ArrayFile], int, int, Sink, int], tuple[int, int]]) -> Commit:
    start = time.process_time()
    files = _Files(task.out, task.step, task.key)
    read = [ArrayFile(path) for path in task.files]
    pairs, moved = star(read, task.first << 32, task.end << 32, files, task.memory)
    return _commit(task.out, task.step, task.key, files.entries, {"edges": pairs, "moved": moved}, start)


def list_members(task: StarTask) -> Commit:
    """Write the clusters of the documents of a range."""
    start = time.process_time()
    bounds = np.arange(task.first, task.end, dtype=np.uint64) << np.uint64(32)
    positions = np.zeros(len(bounds) + 1, np.int64)

    def write(path: Path) -> None:
        read = [ArrayFile(path) for path in task.files]
        with PairWriter(path) as writer:
            for documents, roots in star_members(read, task.first << 32, task.end << 32, task.memory):
                writer.append(documents, roots)
                positions[:-1] += np.searchsorted(documents, bounds)
                positions[-1] += len(documents)

    entry = publish(task.out, f"steps/{CLUSTERS}/files/{task.key}", write)
    counts, notes = {"members": int(positions[-1])}, {"positions": positions.tolist()}
    return _commit(task.out, CLUSTERS, task.key, [entry], counts, start, notes)


class _Files:
    """Publishes the files of a task one by one; a Sink."""

    def __init__(self, out: Path, step: str, key: str) -> None:
        self.entries: list[FileEntry] = []
        self._out, self._name = out, f"steps/{step}/files/{key}"

    def __call__(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        name = f"{self._name}-{len(self.entries):04d}"
        self.entries.append(publish(self._out, name, lambda path: write_arrays(path, arrays)))


def _commit(
    out: Path, step: str, key: str, files: Sequence[FileEntry], counts: Mapping[str, int], start: float,
    notes: Mapping[str, Any] | None = None,
) -> Commit:  # fmt: skip
    commit = Commit(key=key, files=tuple(files), counts=counts, seconds=cpu_seconds_since(start), notes=notes or {})
    return Ledger(out, step).commit(commit)


def _complete(out: Path, step: str, tasks: Sequence[ClusterTask] | Sequence[StarTask]) -> Commits | None:
    """The commits of all tasks of a step if they are there, with all their files."""
    ledger = Ledger(out, step)
    done = ledger.committed()
    wanted = {task.key: done.get(task.key) for task in tasks}
    found = {
        key: commit
        for key, commit in wanted.items()
        if commit and not commit.notes.get(USED_UP) and ledger.is_intact(commit)
    }
    return found if len(found) == len(tasks) else None


def _passes(out: Path) -> list[Path]:
    """The folders of the passes that have begun, in order."""
    folders = (out / "steps" / pass_name(number) for number in itertools.count())
    return list(itertools.takewhile(Path.is_dir, folders))


def _nothing_moved(out: Path, number: int) -> bool:
    """Whether the last large and the last small star both left everything as it was."""
    if number < 2 or number % 2:
        return False
    return not any(add_counts(Ledger(out, pass_name(done)).committed())["moved"] for done in (number - 1, number))


def _use_up(out: Path, before: int) -> None:
    """Delete the files of earlier passes. Their commits first say so: no commit ever names a file that is gone."""
    for number in range(before):
        folder = out / "steps" / pass_name(number)
        if (folder / "files").is_dir():
            ledger = Ledger(out, folder.name)
            for key, commit in ledger.committed().items():
                path = ledger.folder / f"{key}.json"
                committed = path.stat().st_mtime_ns
                without = dataclasses.replace(commit, files=(), notes={**commit.notes, USED_UP: True})
                write_json(path, dataclasses.asdict(without))
                os.utime(path, ns=(committed, committed))  # `status` reads the pace of a pass from its commits' times
            shutil.rmtree(folder / "files")


def _files(out: Path, commits: Commits) -> tuple[Path, ...]:
    return tuple(out / entry.path for commit in commits.values() for entry in commit.files)


def _key(number: int, among: Sequence[object]) -> str:
    return f"{number:05d}-of-{len(among):05d}"
