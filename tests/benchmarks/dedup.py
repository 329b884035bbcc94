"""Dedup: CPU time, memory and survivors of ours beside datatrove's four MinHash stages, and both beside brute force.

    python tests/benchmarks/dedup.py --input 'docs/*.warc.gz' [--documents 25000] [--pairs 5000] [--json]

Inputs are WARC files (their text is taken out with Resiliparse first, unmeasured), or parquet or JSONL files with a
`text`. Where they hold fewer documents than asked for, seeded near-duplicates of theirs make up the number (the line
`of_those_made` says how many). Both sides read the same parquet parts and write their survivors, each in a process of
its own: CPU seconds are that process's, imports left out; memory is its peak. `cpu_ratio` is datatrove's seconds over
ours. Clusters are compared as sets of pairs that were put together, removals as sets of clusters with the same members
(`clusters_the_same`, of those either side has). datatrove does not remove documents shorter than a shingle, which ours
does where they are equal: `survivors_minhash_only` leaves those out. Hash functions are chosen by chance on either
side: `survivors_ours_other_seeds` says how far ours come apart among themselves.

The second part (dedup_brute_force.py) computes the exact Jaccard similarity of all pairs of the first `--pairs`
documents of the input.
"""

import argparse
import dataclasses
import glob
import itertools
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from dedup_brute_force import brute_force

from pipeline.dedup.config import DedupConfig, MinHashConfig
from pipeline.dedup.shingles import shingle
from pipeline.document import Document, Drop
from pipeline.engine.progress import PlainProgress
from pipeline.engine.runner import LocalRunner
from pipeline.engine.settings import RunSettings
from pipeline.sources import read_records
from pipeline.sources.record import Record
from pipeline.stages.main_text import MainText
from pipeline.steps.context import Context, Part
from pipeline.steps.dedup import step as dedup_step
from pipeline.steps.registry import DEDUP
from pipeline.steps.tables import document_schema, signals_type

SIGNALS = signals_type(())
CONFIG = DedupConfig(scope="global")
MINHASH = MinHashConfig()
EDITS = (0.0, 0.01, 0.03, 0.1, 0.3)
"""Shares of words that made documents have changed."""


def texts(pattern: str) -> Iterator[str]:
    """The texts of all inputs, in order."""
    extract = MainText(engine="resiliparse")
    for path in sorted(glob.glob(pattern)):  # noqa: PTH207 - a pattern may be absolute
        for record in read_records(path):
            if not isinstance(record, Record) or not record.candidate or record.fault:
                continue
            if record.text is not None:
                yield record.text
                continue
            found = extract(Document(id=record.id, url=record.url, html=decode(record.body)))
            if not isinstance(found, Drop):
                yield found.text


def decode(body: bytes) -> str:
    """The page, by its declared or likely encoding."""
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding

    text: str = bytes_to_str(body, detect_encoding(body))
    return text


def write_parts(found: list[str], folder: Path, parts: int) -> int:
    """Parquet parts of documents; the bytes of text in them."""
    folder.mkdir(parents=True)
    blank = dict.fromkeys(document_schema(SIGNALS).names)
    rows = [{**blank, "id": f"{n:08d}", "url": "", "dump": "", "language": "", "cluster_size": 1, "text": text}
            for n, text in enumerate(found)]  # fmt: skip
    size = -(-len(rows) // parts)
    for part in range(parts):
        table = pa.Table.from_pylist(rows[part * size : (part + 1) * size], document_schema(SIGNALS))
        pq.write_table(table, folder / f"part-{part:05d}.parquet", compression="zstd")
    return sum(len(text.encode("utf-8", "replace")) for text in found)


def make(found: list[str], count: int) -> list[str]:
    """Near-duplicates: documents of `found`, chosen by chance, of which some words are others of the same document."""
    rng = random.Random(0)
    made = []
    for _ in range(count):
        words = rng.choice(found).split(" ")
        share = rng.choice(EDITS)
        made.append(" ".join(rng.choice(words) if rng.random() < share else word for word in words))
    return made


def dedup(folder: Path, out: Path, config: DedupConfig) -> None:
    """Step 3 on the parts in a folder."""
    files = sorted(folder.glob("*.parquet"))
    parts = [Part(key=f"{n:05d}", path=path, rows=pq.read_metadata(path).num_rows) for n, path in enumerate(files)]
    context = Context(out=out, settings=RunSettings(), runner=LocalRunner(), progress=PlainProgress(quiet=True))
    dedup_step.run(context, parts, config, SIGNALS)


def dedup_texts(found: list[str], config: DedupConfig) -> dict[str, list[str]]:
    """The clusters that step 3 leaves of some texts."""
    with tempfile.TemporaryDirectory() as work:
        write_parts(found, Path(work) / "in", max(1, len(found) // 3000))
        dedup(Path(work) / "in", Path(work) / "out", config)
        return our_clusters(Path(work) / "out")


def run_ours(work: Path) -> tuple[float, dict[str, list[str]]]:
    """(CPU seconds, clusters by survivor) of step 3."""
    start = time.process_time()
    dedup(work / "in", work / "ours", CONFIG)
    return time.process_time() - start, our_clusters(work / "ours")


def our_clusters(out: Path) -> dict[str, list[str]]:
    """Survivor -> itself and what it stands for."""
    kept = pq.read_table(out / DEDUP.folder, columns=["id"])["id"].to_pylist()
    clusters: dict[str, list[str]] = {name: [name] for name in kept}
    if (out / "dropped").is_dir():
        for row in pq.read_table(out / "dropped", columns=["id", "detail"]).to_pylist():
            clusters[row["detail"]].append(row["id"])
    return clusters


def run_datatrove(work: Path) -> tuple[float, dict[str, list[str]]]:
    """(CPU seconds, clusters by survivor) of datatrove's signature, buckets, cluster and filter stages."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter
    from datatrove.pipeline.dedup import MinhashDedupSignature as Signature
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter
    from datatrove.utils.hashing import HashConfig

    out = work / "datatrove"
    parameters = MinhashConfig(
        n_grams=MINHASH.ngram, num_buckets=MINHASH.bands, hashes_per_bucket=MINHASH.rows, seed=MINHASH.seed,
        hash_config=HashConfig(precision=64, hash_fc="sha1"),
    )  # fmt: skip
    reader = ParquetReader(str(work / "in"), glob_pattern="*.parquet")
    signed, buckets, removed = (str(out / name) for name in ("signatures", "buckets", "removed"))
    tasks = len(list((work / "in").glob("*.parquet")))
    dropped = ParquetWriter(str(out / "dropped"))
    stages: list[tuple[int, list[Any]]] = [
        (tasks, [reader, Signature(output_folder=signed, config=parameters)]),
        (MINHASH.bands, [MinhashDedupBuckets(input_folder=signed, output_folder=buckets, config=parameters)]),
        (1, [MinhashDedupCluster(input_folder=buckets, output_folder=removed, config=parameters,
                                 save_cluster_id=True)]),
        (tasks, [reader, MinhashDedupFilter(input_folder=removed, exclusion_writer=dropped, load_cluster_ids=True),
                 ParquetWriter(str(out / "kept"))]),
    ]  # fmt: skip
    start = time.process_time()
    for number, (count, steps) in enumerate(stages):
        LocalPipelineExecutor(pipeline=steps, tasks=count, workers=1, logging_dir=str(out / f"log{number}")).run()
    seconds = time.process_time() - start
    return seconds, datatrove_clusters(out)


def datatrove_clusters(out: Path) -> dict[str, list[str]]:
    """Survivor -> itself and what it stands for."""
    clusters: dict[str, list[str]] = {}
    survivor: dict[int, str] = {}
    for folder in ("kept", "dropped"):
        for path in sorted((out / folder).rglob("*.parquet")):
            for row in pq.read_table(path, columns=["id", "metadata"]).to_pylist():
                cluster = row["metadata"].get("minhash_cluster_id", -1)
                if folder == "kept":
                    clusters[row["id"]] = [row["id"]]
                    if cluster not in (None, -1):
                        survivor[cluster] = row["id"]
                else:
                    clusters[survivor[cluster]].append(row["id"])
    return clusters


def in_own_process(side: str, work: Path) -> dict[str, Any]:
    """Run one side in a new process; its result."""
    command = [sys.executable, str(Path(__file__).resolve()), "--side", side, "--work", str(work)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads((work / f"{side}.json").read_text(encoding="utf-8"))
    return result


def run_side(side: str, work: Path) -> None:
    """The body of that process."""
    seconds, clusters = {"ours": run_ours, "datatrove": run_datatrove}[side](work)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result = {"seconds": seconds, "peak_mb": round(peak), "clusters": clusters}
    (work / f"{side}.json").write_text(json.dumps(result), encoding="utf-8")


def pair_overlap(one: Mapping[str, list[str]], other: Mapping[str, list[str]]) -> float:
    """Pairs put together by both, as a share of those put together by either."""

    def pairs(sizes: Iterator[int]) -> int:
        return sum(size * (size - 1) // 2 for size in sizes)

    cluster = {member: name for name, members in other.items() for member in members}
    both: dict[tuple[str, str], int] = {}
    for name, members in one.items():
        for member in members:
            key = name, cluster[member]
            both[key] = both.get(key, 0) + 1
    shared = pairs(iter(both.values()))
    total = pairs(len(m) for m in one.values()) + pairs(len(m) for m in other.values()) - shared
    return shared / total if total else 1.0


def the_same(one: Mapping[str, list[str]], other: Mapping[str, list[str]]) -> float:
    """Clusters of two or more with the same members on both sides, as a share of those either side has."""
    ours, theirs = ({frozenset(members) for members in side.values() if len(members) > 1} for side in (one, other))
    return len(ours & theirs) / len(ours | theirs) if ours | theirs else 1.0


def compare(found: list[str], made: int, seeds: int, work: Path) -> dict[str, Any]:
    """The first part."""
    size = write_parts(found, work / "in", max(1, len(found) // 3000))
    ours, theirs = in_own_process("ours", work), in_own_process("datatrove", work)
    short = {f"{n:08d}" for n, count in enumerate(np.diff(shingle(found, MINHASH.ngram).offsets)) if count == 0}
    unmerged = sum(1 for members in ours["clusters"].values() for name in members[1:] if name in short)
    result = {
        "documents": len(found),
        "of_those_made": made,
        "kilobytes_per_document": round(size / max(len(found), 1) / 1000, 2),
        "cpu_seconds_ours": round(ours["seconds"], 2),
        "cpu_seconds_datatrove": round(theirs["seconds"], 2),
        "cpu_ms_per_document_ours": round(ours["seconds"] / len(found) * 1000, 3),
        "cpu_ms_per_document_datatrove": round(theirs["seconds"] / len(found) * 1000, 3),
        "cpu_ratio": round(theirs["seconds"] / ours["seconds"], 1),
        "survivors_ours": len(ours["clusters"]),
        "survivors_minhash_only": len(ours["clusters"]) + unmerged,
        "survivors_datatrove": len(theirs["clusters"]),
        "survivors_apart": round(
            abs(len(ours["clusters"]) + unmerged - len(theirs["clusters"])) / len(theirs["clusters"]), 5
        ),
        "clusters_the_same": round(the_same(ours["clusters"], theirs["clusters"]), 4),
        "pair_overlap": round(pair_overlap(ours["clusters"], theirs["clusters"]), 4),
        "peak_mb": ours["peak_mb"],
        "peak_mb_datatrove": theirs["peak_mb"],
    }
    others = (dataclasses.replace(CONFIG, minhash=MinHashConfig(seed=2 + seed)) for seed in range(seeds))
    result["survivors_ours_other_seeds"] = [len(dedup_texts(found, config)) for config in others]
    for name, value in result.items():
        print(f"{name:32} {value}")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--input", help="files or a glob")
    parser.add_argument("--documents", type=int, default=25_000)
    parser.add_argument("--pairs", type=int, default=5_000)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--other-seeds", type=int, default=3, help="choices of hash functions beside the config's")
    parser.add_argument("--no-datatrove", action="store_true", help="brute force only")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--side", choices=("ours", "datatrove"), help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run_side(options.side, options.work)
        return
    if not options.input or not glob.glob(options.input):  # noqa: PTH207
        raise SystemExit(f"--input {options.input}: no such files")
    # datatrove's readers pass over empty texts without a word.
    found = list(itertools.islice(filter(str.strip, texts(options.input)), options.documents))
    made = [] if options.no_datatrove else make(found, options.documents - len(found))
    result: dict[str, Any] = {}
    if options.pairs:
        result |= brute_force(found[: options.pairs], max(options.seeds, 2), dedup_texts)
    if not options.no_datatrove:
        with tempfile.TemporaryDirectory(prefix="dedup-benchmark-") as work:
            result |= compare([*found, *made], len(made), options.other_seeds, Path(work))
    if options.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
