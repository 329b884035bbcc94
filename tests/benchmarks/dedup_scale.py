"""Dedup at scale: edges and components of synthetic band rows, with clusters of known membership.

    python tests/benchmarks/dedup_scale.py [--documents 10000000] [--memory 256] [--json]

A tenth of the documents are one cluster around three shared hashes, a twentieth is one long chain in which each
document shares a band only with the next, a tenth are pairs, the rest stand alone; all in random order over 16 groups.
What is found is compared with what was planted; components are computed on disk within the memory given, and again in
memory: the files must be equal. Memory is the peak of the process, which includes making the rows.
"""

import argparse
import json
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from pipeline.dedup.arrayfile import ArrayFile, write_arrays
from pipeline.dedup.components import in_memory, write_components
from pipeline.dedup.config import DedupConfig
from pipeline.dedup.edges import write_edges
from pipeline.dedup.pairs import read_pairs
from pipeline.dedup.plan import partitions_for, plan
from pipeline.dedup.runs import StoredRun, run_arrays
from pipeline.dedup.shingles import splitmix

GROUPS, BANDS = 16, 14
UNLIMITED = 1 << 40


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def hashes(numbers: np.ndarray, salt: int) -> np.ndarray:
    return splitmix((numbers + salt * 10**10).astype(np.uint64))


def plant(documents: int) -> np.ndarray:
    """What each document is: 0 alone, -1 in the giant, else 1 + position in the chain, or -2 - number of its pair."""
    giant, chain, pairs = documents // 10, documents // 20, documents // 20
    order = np.random.default_rng(0).permutation(documents)
    kind = np.zeros(documents, np.int64)
    kind[order[:giant]] = -1
    kind[order[giant : giant + chain]] = 1 + np.arange(chain)
    kind[order[giant + chain : giant + chain + 2 * pairs]] = -2 - np.arange(2 * pairs) // 2
    return kind


def write_group(path: Path, kind: np.ndarray, seed: int) -> None:
    """The band rows of one group."""
    keys = np.random.default_rng(seed).integers(0, 1 << 64, (len(kind), BANDS), np.uint64)
    keys[kind == -1, :3] = hashes(np.arange(3), 1)
    chained = kind > 0
    keys[chained, 3] = hashes((kind[chained] - 1) // 2, 2)
    keys[chained, 4] = hashes(kind[chained] // 2, 3)
    paired = kind < -1
    keys[paired, 5] = hashes(-kind[paired], 4)
    rows = np.repeat(np.arange(len(kind), dtype=np.uint64), BANDS)
    write_arrays(path, run_arrays("band", keys.reshape(-1), rows))


def check(path: Path, kind: np.ndarray, group_size: int) -> None:
    """Every planted cluster was found, whole and alone."""
    pairs = read_pairs(path)
    index = (pairs[:, 0] >> np.uint64(32)).astype(np.int64) * group_size + (pairs[:, 0] & np.uint64(0xFFFFFFFF))
    planted = kind[index.astype(np.int64)]
    planted = np.where(planted > 0, 1, planted)
    roots, clusters = np.unique(pairs[:, 1], return_inverse=True)
    names, sizes = np.unique(planted, return_counts=True)
    expected = np.unique(np.where(kind > 0, 1, kind)[kind != 0], return_counts=True)
    together = len(np.unique(np.column_stack([planted, clusters]), axis=0))
    assert 0 not in names
    assert np.array_equal(names, expected[0])
    assert np.array_equal(sizes, expected[1])
    assert together == len(roots) == len(names)


def measure(documents: int, memory: int, folder: Path) -> dict[str, Any]:
    group_size = documents // GROUPS
    kind = plant(group_size * GROUPS)
    for group in range(GROUPS):
        write_group(folder / f"{group}.arrays", kind[group * group_size : (group + 1) * group_size], group)
    runs = [StoredRun(ArrayFile(folder / f"{group}.arrays"), "band", group) for group in range(GROUPS)]
    disk, made = sum(path.stat().st_size for path in folder.iterdir()), peak_mb()
    rows = len(kind) * BANDS
    start = time.process_time()
    partitions = partitions_for(rows, memory)
    edges = [folder / f"{part}.edges" for part in range(partitions)]
    found = sum(write_edges(runs, part, partitions, path, memory) for part, path in enumerate(edges))
    seconds = time.process_time() - start
    result = {"documents": len(kind), "band_rows": rows, "band_mb": disk >> 20, "partitions": partitions,
              "edges": found, "edge_seconds": round(seconds, 1), "rows_per_second": round(rows / seconds)}  # fmt: skip
    (folder / "scratch").mkdir()
    for name, budget in (("on_disk", memory), ("in_memory", UNLIMITED)):
        start = time.process_time()
        write_components(edges, [group_size] * GROUPS, folder / name, folder / "scratch", budget)
        result[f"components_{name}_seconds"] = round(time.process_time() - start, 1)
    if in_memory(len(kind), memory):
        print("the documents fit the memory given, so both ways were union-find; give less --memory")
    assert (folder / "on_disk").read_bytes() == (folder / "in_memory").read_bytes()
    result |= {"peak_mb": peak_mb(), "peak_mb_of_making": made}
    check(folder / "on_disk", kind, group_size)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--documents", type=int, default=10_000_000)
    parser.add_argument("--memory", type=int, default=256, help="MB for one task")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="dedup-scale-"))
    try:
        result = measure(options.documents, options.memory << 20, folder)
    finally:
        shutil.rmtree(folder)
    for name, value in result.items():
        print(f"{name:32} {value:,}")
    per_row = result["edge_seconds"] / result["band_rows"]
    for name, documents in (("a dump", 3 * 10**8), ("96 dumps, global", 96 * 3 * 10**8)):
        needs = plan(documents, DedupConfig(), options.memory << 20)
        print(f"{name}: {needs.signature_bytes / 1e9:,.0f} GB of signatures, {needs.partitions:,} partitions, "
              f"{documents * BANDS * per_row / 3600:,.1f} CPU hours to sort them")  # fmt: skip
    if options.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
