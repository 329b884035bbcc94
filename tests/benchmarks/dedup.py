"""Dedup: CPU time, memory and survivors of ours beside datatrove's four MinHash stages, and recall beside the S-curve.

    python tests/benchmarks/dedup.py --input 'docs/*.warc.gz' [--documents 25000] [--pairs 5000] [--json]

Inputs are WARC files (their text is taken out with Resiliparse first, unmeasured), or parquet or JSONL files with a
`text`. Both sides read the same parquet parts and write their survivors, each in a process of its own: CPU seconds
are that process's, imports left out; memory is its peak. `cpu_ratio` is datatrove's seconds over ours. Clusters are
compared as sets of pairs that were put together. datatrove does not remove documents shorter than a shingle, which
ours does where they are equal: `survivors_minhash_only` leaves those out.

The second part computes the exact Jaccard similarity of all pairs of `--pairs` documents and says for each range of
similarities how many share a band, beside the S-curve and a binomial 99% interval around it. Pages of one template are
similar in the same shingles and are found or missed together, so each document stands in one pair of a range only, and
the share is taken over `--seeds` choices of hash functions. It also looks for the document that shares a band with
another although its most similar neighbour is least similar.
"""

import argparse
import glob
import itertools
import json
import math
import os
import resource
import shutil
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

from pipeline.dedup.config import DedupConfig, MinHashConfig
from pipeline.dedup.minhash import band_hashes, found_probability, signatures
from pipeline.dedup.shingles import Shingled, shingle
from pipeline.document import Document, Drop
from pipeline.engine.progress import PlainProgress
from pipeline.engine.runner import LocalRunner
from pipeline.engine.settings import RunSettings
from pipeline.sources import read_records
from pipeline.sources.record import Record
from pipeline.stages.main_text import MainText
from pipeline.steps import s3_dedup
from pipeline.steps.context import Context, Part
from pipeline.steps.tables import document_schema, signals_type

SIGNALS = signals_type(())
CONFIG = DedupConfig(scope="global")
MINHASH = MinHashConfig()
BINS = (0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0 + 1e-9)


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


def run_ours(work: Path) -> tuple[float, dict[str, list[str]]]:
    """(CPU seconds, clusters by survivor) of step 3."""
    start = time.process_time()
    files = sorted((work / "in").glob("*.parquet"))
    parts = [Part(key=f"{n:05d}", path=path, rows=pq.read_metadata(path).num_rows) for n, path in enumerate(files)]
    out = work / "ours"
    context = Context(out=out, settings=RunSettings(), runner=LocalRunner(), progress=PlainProgress(quiet=True))
    s3_dedup.run(context, parts, CONFIG, SIGNALS)
    seconds = time.process_time() - start
    return seconds, our_clusters(out)


def our_clusters(out: Path) -> dict[str, list[str]]:
    """Survivor -> itself and what it stands for."""
    kept = pq.read_table(out / s3_dedup.FOLDER, columns=["id"])["id"].to_pylist()
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


def compare(found: list[str], work: Path) -> dict[str, Any]:
    """The first part."""
    size = write_parts(found, work / "in", max(1, len(found) // 3000))
    ours, theirs = in_own_process("ours", work), in_own_process("datatrove", work)
    short = {f"{n:08d}" for n, count in enumerate(np.diff(shingle(found, MINHASH.ngram).offsets)) if count == 0}
    unmerged = sum(1 for members in ours["clusters"].values() for name in members[1:] if name in short)
    result = {
        "documents": len(found),
        "kilobytes_per_document": round(size / max(len(found), 1) / 1000, 2),
        "cpu_seconds_ours": round(ours["seconds"], 2),
        "cpu_seconds_datatrove": round(theirs["seconds"], 2),
        "cpu_ms_per_document_ours": round(ours["seconds"] / len(found) * 1000, 3),
        "cpu_ms_per_document_datatrove": round(theirs["seconds"] / len(found) * 1000, 3),
        "cpu_ratio": round(theirs["seconds"] / ours["seconds"], 1),
        "survivors_ours": len(ours["clusters"]),
        "survivors_minhash_only": len(ours["clusters"]) + unmerged,
        "survivors_datatrove": len(theirs["clusters"]),
        "pair_overlap": round(pair_overlap(ours["clusters"], theirs["clusters"]), 4),
        "peak_mb": ours["peak_mb"],
        "peak_mb_datatrove": theirs["peak_mb"],
    }
    for name, value in result.items():
        print(f"{name:32} {value}")
    return result


def exact_jaccard(sets: list[np.ndarray]) -> np.ndarray:
    """Jaccard similarity of all pairs of sets, shape (sets, sets), float32.

    Shingles that occur in the same documents are counted together: pages of one site share theirs by the hundred.
    """
    shingles, owner = np.concatenate(sets), np.repeat(np.arange(len(sets)), [len(s) for s in sets])
    order = np.argsort(shingles, kind="stable")
    shingles, owner = shingles[order], owner[order]
    bounds = np.flatnonzero(np.concatenate([[True], shingles[1:] != shingles[:-1], [True]]))
    weights: dict[bytes, int] = {}
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        if end - start > 1:
            key = owner[start:end].tobytes()
            weights[key] = weights.get(key, 0) + 1
    shared = np.zeros((len(sets), len(sets)), np.float32)
    for key, weight in weights.items():
        some = np.frombuffer(key, owner.dtype)
        shared[np.ix_(some, some)] += weight
    sizes = np.array([len(s) for s in sets], np.float32)
    union = sizes[:, None] + sizes[None, :] - shared
    np.divide(shared, union, out=shared, where=union > 0)
    return shared


def disjoint(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Which pairs to take so that no document stands in two of them."""
    used: set[int] = set()
    taken = np.zeros(len(one), np.bool_)
    for index, (a, b) in enumerate(zip(one.tolist(), other.tolist(), strict=True)):
        if a not in used and b not in used:
            used.update((a, b))
            taken[index] = True
    return taken


def share_a_band(shingled: Shingled, config: MinHashConfig, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Which of the pairs (one[i], other[i]) of documents share a band."""
    signature = signatures(shingled.shingles, shingled.offsets, config)
    bands = band_hashes(signature, config, np.zeros(len(signature), np.uint64))
    blocks = zip(np.array_split(one, 64), np.array_split(other, 64), strict=True)
    return np.concatenate([(bands[a] == bands[b]).any(axis=1) for a, b in blocks])


def recall(found: list[str], seeds: int) -> dict[str, Any]:
    """The second part."""
    shingled = shingle(found, MINHASH.ngram)
    sets = [np.unique(shingled.shingles[a:b]) for a, b in itertools.pairwise(shingled.offsets.tolist())]
    similarity = exact_jaccard(sets)
    one, other = np.nonzero(np.triu(similarity >= BINS[0], 1))
    values = similarity[one, other].astype(np.float64)
    shares = [share_a_band(shingled, MinHashConfig(seed=seed), one, other) for seed in range(seeds)]
    print(f"\n{'Jaccard':>12} {'pairs':>9} {'found':>7} {'S-curve':>8}   99% interval")
    rows = []
    for low, high in itertools.pairwise(BINS):
        inside = np.flatnonzero((values >= low) & (values < high))
        inside = inside[disjoint(one[inside], other[inside])]
        if not len(inside):
            continue
        trials = len(inside) * seeds
        chances = np.array([found_probability(value, MINHASH) for value in values[inside].tolist()])
        expected, spread = float(chances.mean()), float((chances * (1 - chances)).sum() * seeds)
        reach = 2.576 * math.sqrt(spread) / trials
        share = sum(int(joined[inside].sum()) for joined in shares) / trials
        rows.append({"low": low, "pairs": len(inside), "found": share, "expected": expected, "reach": reach})
        verdict = "" if abs(share - expected) <= reach else "outside"
        print(f"{low:5.2f}-{min(high, 1):.2f} {len(inside):9} {share:9.4f} {expected:8.4f}   ±{reach:.4f} {verdict}")
    np.fill_diagonal(similarity, 0)
    nearest = similarity.max(axis=1)[np.unique(other[shares[MINHASH.seed]])]
    least = float(nearest.min()) if len(nearest) else 1.0
    print(f"least similar nearest neighbour of a document that shares a band: {least:.3f}")
    return {"recall": rows, "least_similar_found": least}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--input", help="files or a glob")
    parser.add_argument("--documents", type=int, default=25_000)
    parser.add_argument("--pairs", type=int, default=5_000)
    parser.add_argument("--seeds", type=int, default=20)
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
    work = Path(tempfile.mkdtemp(prefix="dedup-benchmark-"))
    try:
        result = compare(found, work)
    finally:
        shutil.rmtree(work)
    if options.pairs:
        result |= recall(found[: options.pairs], max(options.seeds, 2))
    if options.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
