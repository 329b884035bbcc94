"""Dedup at scale: edges and components of synthetic band rows, with clusters of known membership.

    python tests/benchmarks/dedup_scale.py [--documents 10000000] [--memory 256] [--workers 2] [--folder DIR] [--json]
    python tests/benchmarks/dedup_scale.py --rounds

Planted, in random order over all groups: a tenth of the documents in one cluster around three shared hashes, a tenth
in one cluster that is a tree (each shares a hash with its parent), a twentieth in one chain (each shares a hash with
the next), a twentieth in chains of 1,000, a twentieth in clusters of ten, a tenth in pairs; the others stand alone.

Both phases run as in a build: tasks with a ledger on `--workers` Ray workers (0: in one process without Ray), each with
`--memory` MB. Components are found in passes over ranges of documents, then once more in memory: the pairs must be
equal, and equal to what was planted. Memory is the peak resident size of each process that ran tasks, as the kernel
keeps it; making the rows is not measured. CPU seconds are those of the tasks' commits.

`--rounds` counts the rounds of large and small stars for graphs of 100,000 documents in random order, by the number of
ranges that they are cut into.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import psutil

from pipeline.dedup.array_file import write_arrays
from pipeline.dedup.config import DedupConfig
from pipeline.dedup.pairs import PairWriter, read_pairs
from pipeline.dedup.plan import partitions_for, plan
from pipeline.dedup.shingles import splitmix
from pipeline.dedup.sorted_runs import ROW_BYTES, run_arrays
from pipeline.dedup.star_passes import BLOCK_SHARE
from pipeline.engine.ledger import Ledger, add_counts
from pipeline.engine.progress import PlainProgress
from pipeline.engine.runner import open_runner
from pipeline.engine.settings import RunSettings
from pipeline.steps.context import Context
from pipeline.steps.dedup.clusters import EDGES, EdgeTask, find_edges
from pipeline.steps.dedup.components import CLUSTERS, find_components

BANDS = 14
GROUP = 250_000
CHAIN, CLIQUE = 1000, 10
STAR, TREE, CHAINED = 0, 1, 2
"""Clusters of those numbers are the large ones; the others are numbered on."""
UNLIMITED = 1 << 40
SAMPLE_SECONDS = 0.2


def hashes(numbers: np.ndarray, salt: int) -> np.ndarray:
    return splitmix((numbers + salt * 10**12).astype(np.uint64))


def plant(documents: int) -> tuple[np.ndarray, np.ndarray]:
    """The cluster of each document (-1: alone) and its position in it."""
    sizes = [documents // 10, documents // 10, documents // 20]
    for size, share in ((CHAIN, 20), (CLIQUE, 20), (2, 10)):
        sizes += [size] * (documents // share // size)
    number = np.repeat(np.arange(len(sizes)), sizes)
    position = np.arange(len(number)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    order = np.random.default_rng(0).permutation(documents)[: len(number)]
    cluster, place = np.full(documents, -1), np.zeros(documents, np.int64)
    cluster[order], place[order] = number, position
    return cluster, place


def write_group(path: Path, cluster: np.ndarray, place: np.ndarray, documents: int, seed: int) -> None:
    """The band rows of one group: random hashes, some of them replaced by shared ones."""
    keys = np.random.default_rng(seed).integers(0, 1 << 64, (len(cluster), BANDS), np.uint64)
    keys[cluster == STAR, :3] = hashes(np.arange(3), 1)
    tree = np.flatnonzero(cluster == TREE)
    keys[tree, 3] = hashes(place[tree], 2)
    keys[tree, 4] = hashes((place[tree] - 1) // 3, 2)
    chains = CHAINED + 1 + documents // 20 // CHAIN
    links = np.flatnonzero((cluster >= CHAINED) & (cluster < chains))
    link = cluster[links] * documents + place[links]
    keys[links, 5], keys[links, 6] = hashes(link, 3), hashes(link + 1, 3)
    small = np.flatnonzero(cluster >= chains)
    keys[small, 7] = hashes(cluster[small], 4)
    rows = np.repeat(np.arange(len(cluster), dtype=np.uint64), BANDS)
    write_arrays(path, run_arrays("band", keys.reshape(-1), rows))


def make(documents: int, folder: Path) -> list[int]:
    """The signature files; documents in each."""
    cluster, place = plant(documents)
    starts = range(0, documents, GROUP)
    for number, start in enumerate(starts):
        some = slice(start, start + GROUP)
        write_group(folder / f"{number:06d}", cluster[some], place[some], documents, number)
    return [min(GROUP, documents - start) for start in starts]


def run_phases(folder: Path, sizes: Sequence[int], memory: int, workers: int) -> None:
    """Edges, components in passes, components in memory: OUT, then OUT2 for the last."""
    settings = RunSettings(workers=workers or None, local=workers == 0)
    with open_runner(settings) as runner:
        context = Context(out=folder / "out", settings=settings, runner=runner, progress=PlainProgress())
        signatures = tuple(sorted((folder / "signatures").iterdir()))
        partitions = partitions_for(sum(sizes) * BANDS, memory)
        tasks = [
            EdgeTask(key=f"{part:05d}-of-{partitions:05d}", out=context.out, run="band", partition=part,
                     partitions=partitions, signatures=signatures, memory=memory)
            for part in range(partitions)
        ]  # fmt: skip
        with _timed(folder, "edges"):
            commits = context.run(EDGES, find_edges, tasks)
        edges = {context.out / commit.files[0].path: commit.counts["edges"] for commit in commits.values()}
        with _timed(folder, "components"):
            find_components(context, edges, sizes, memory)
        other = Context(out=folder / "out2", settings=settings, runner=runner, progress=PlainProgress())
        with _timed(folder, "components_in_memory"):
            find_components(other, edges, sizes, UNLIMITED)


@contextlib.contextmanager
def _timed(folder: Path, name: str) -> Iterator[None]:
    """Tell the watcher what is being done, and how long it took."""
    (folder / "doing").write_text(name)
    start = time.monotonic()
    yield
    (folder / f"{name}.seconds").write_text(str(time.monotonic() - start))


class Watcher(threading.Thread):
    """Watches a process and its children: the peak memory of each, and the peak of the disk, by phase."""

    def __init__(self, folder: Path, process: int) -> None:
        super().__init__(daemon=True)
        self.memory: dict[str, int] = {}
        self.disk: dict[str, int] = {}
        self._folder, self._process, self._over = folder, psutil.Process(process), threading.Event()

    def run(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            with contextlib.suppress(OSError, psutil.NoSuchProcess):
                phase = (self._folder / "doing").read_text()
                peaks = [_peak(process) for process in [self._process, *self._process.children(recursive=True)]]
                self.memory[phase] = max(self.memory.get(phase, 0), *peaks)
                size = sum(path.stat().st_size for path in (self._folder / "out" / "steps").rglob("*/files/*"))
                self.disk[phase] = max(self.disk.get(phase, 0), size)

    def close(self) -> None:
        self._over.set()
        self.join()


def _peak(process: psutil.Process) -> int:
    """Bytes, the high-water mark; of Ray's processes those alone that run tasks, which are all named so."""
    with contextlib.suppress(OSError, psutil.NoSuchProcess, ValueError):
        name = " ".join(process.cmdline()[:1])
        if name.startswith("ray::") or "python" in name:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    return 0


def members(out: Path) -> np.ndarray:
    """All pairs of the clusters, in order."""
    commits = Ledger(out, CLUSTERS).committed().values()
    return np.concatenate([read_pairs(out / commit.files[0].path) for commit in commits])


def check(pairs: np.ndarray, documents: int) -> None:
    """Every planted cluster was found, whole and alone."""
    cluster, _ = plant(documents)
    found = (pairs >> np.uint64(32)).astype(np.int64) * GROUP + (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)
    smallest = np.full(cluster.max() + 1, documents)
    np.minimum.at(smallest, cluster[cluster >= 0], np.flatnonzero(cluster >= 0))
    wanted = np.flatnonzero(cluster >= 0)
    assert np.array_equal(found[:, 0], wanted), "another set of documents has duplicates than was planted"
    assert np.array_equal(found[:, 1], smallest[cluster[wanted]]), "clusters are not those that were planted"


def measure(documents: int, memory: int, workers: int, folder: Path) -> dict[str, Any]:
    (folder / "signatures").mkdir(parents=True)
    sizes = make(documents, folder / "signatures")
    process = multiprocessing.get_context("spawn").Process(target=run_phases, args=(folder, sizes, memory, workers))
    process.start()
    watcher = Watcher(folder, process.pid or os.getpid())
    watcher.start()
    process.join()
    watcher.close()
    assert process.exitcode == 0, f"the phases ended with exit code {process.exitcode}"
    pairs = members(folder / "out")
    assert np.array_equal(pairs, members(folder / "out2")), "in passes and in memory do not agree"
    check(pairs, documents)
    return results(documents, memory, workers, folder, watcher)


def results(documents: int, memory: int, workers: int, folder: Path, watcher: Watcher) -> dict[str, Any]:
    out = folder / "out"
    rows = documents * BANDS
    signatures = sum(path.stat().st_size for path in (folder / "signatures").iterdir())
    edged = Ledger(out, EDGES).committed()
    seconds = cpu_seconds(folder, EDGES)
    passes = sorted(path.name for path in (out / "steps").glob(f"{CLUSTERS}-*"))
    clustered = Ledger(out, CLUSTERS).committed()
    assert len(passes) > 2, "the documents or edges fit the memory given, so there were no passes; give less --memory"
    return {
        "documents": documents, "band_rows": rows, "workers": workers, "memory_mb": memory >> 20,
        "signature_mb": signatures >> 20, "edge_tasks": len(edged), "edges": add_counts(edged)["edges"],
        "edge_mb": watcher.disk["edges"] >> 20, "edge_cpu_seconds": seconds,
        "rows_per_cpu_second": round(rows / seconds),
        "passes": len(passes), "rounds": len(passes) // 2, "ranges": len(clustered),
        "members": add_counts(clustered)["members"],
        "pass_edges": [add_counts(Ledger(out, name).committed())["edges"] for name in passes],
        "pass_moved": [add_counts(Ledger(out, name).committed()).get("moved", 0) for name in passes],
        "components_cpu_seconds": round(sum(cpu_seconds(folder, name) for name in [*passes, CLUSTERS]), 1),
        "components_disk_mb": (watcher.disk["components"] - sum(e.files[0].bytes for e in edged.values())) >> 20,
        "components_in_memory_cpu_seconds": cpu_seconds(folder, CLUSTERS, "out2"),
        **{f"{name}_wall_seconds": round(float((folder / f"{name}.seconds").read_text()), 1)
           for name in ("edges", "components", "components_in_memory")},
        **{f"{name}_peak_mb": peak >> 20 for name, peak in watcher.memory.items()},
    }  # fmt: skip


def cpu_seconds(folder: Path, step: str, out: str = "out") -> float:
    return round(sum(commit.cpu_seconds for commit in Ledger(folder / out, step).committed().values()), 1)


def rounds(nodes: int = 100_000) -> None:
    rng = np.random.default_rng(0)
    order = rng.permutation(nodes)
    above = order[(rng.random(nodes - 1) * np.arange(1, nodes)).astype(int)]
    graphs = {"chain": np.column_stack([order[1:], order[:-1]]), "tree": np.column_stack([order[1:], above]),
              "random edges": rng.integers(0, nodes, (nodes, 2))}  # fmt: skip
    for name, edges in graphs.items():
        edges = np.sort(edges[edges[:, 0] != edges[:, 1]])[:, ::-1]
        for ranges in (8, 16, 32):
            with tempfile.TemporaryDirectory() as folder:
                print(f"{name:16} {ranges:3} ranges {_rounds(Path(folder), rng.permutation(edges), nodes, ranges):3}")


def _rounds(out: Path, edges: np.ndarray, nodes: int, ranges: int) -> int:
    settings, size = RunSettings(local=True), -(-nodes // ranges)
    files = {}
    for number, some in enumerate(np.array_split(edges, ranges)):
        files[out / f"{number}"] = len(some)
        with PairWriter(out / f"{number}") as writer:
            keys = ((some // size) << 32 | some % size).astype(np.uint64)
            writer.append(keys[:, 0], keys[:, 1])
    with open_runner(settings) as runner:
        context = Context(out=out, settings=settings, runner=runner, progress=PlainProgress(quiet=True))
        find_components(context, files, [size] * ranges, 2 * len(edges) * ROW_BYTES * BLOCK_SHARE // ranges)
    return len(list((out / "steps").glob(f"{CLUSTERS}-*"))) // 2


def tell(result: dict[str, Any]) -> None:
    for name, value in result.items():
        print(f"{name:36} {value:,}" if isinstance(value, int | float) else f"{name:36} {value}")
    edge = result["edge_cpu_seconds"] / result["documents"]
    join = result["components_cpu_seconds"] / result["documents"]
    for name, documents in (("a dump", 3 * 10**8), ("96 dumps, global", 96 * 3 * 10**8)):
        needs = plan(documents, DedupConfig(), 1 << 30)
        print(f"{name}: {needs.signature_bytes / 1e9:,.0f} GB of signatures; CPU hours: "
              f"{documents * edge / 3600:,.1f} for edges, {documents * join / 3600:,.1f} for components")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--documents", type=int, default=10_000_000)
    parser.add_argument("--memory", type=int, default=256, help="MB for one task")
    parser.add_argument("--workers", type=int, default=2, help="Ray workers; 0: one process without Ray")
    parser.add_argument("--folder", type=Path, help="where to work, removed at the end; about 200 bytes a document")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", action="store_true", help="count rounds instead")
    options = parser.parse_args()
    if options.rounds:
        rounds()
        return
    folder = options.folder or Path(tempfile.mkdtemp(prefix="dedup-scale-"))
    try:
        result = measure(options.documents, options.memory << 20, options.workers, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    tell(result)
    if options.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
