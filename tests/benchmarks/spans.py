"""Line and substring dedup: CPU time, memory, disk and what goes, beside datatrove, a suffix array and brute force.

    python tests/benchmarks/spans.py --input 'docs/*.warc.gz' [--documents 10000] [--check 2000] [--json]

Inputs as of dedup.py (their text is taken out with Resiliparse first, unmeasured). Every side reads the same parquet
parts and writes documents, in a process of its own: CPU seconds are that process's, imports left out; memory is its
peak. `disk_bytes_per_document` is what the step stores besides the documents, before anything is compressed.

lines            line_dedup over all documents, two are enough, every line that is not blank, first occurrences stay.
lines_datatrove  its sentence dedup with `split_sentences=False, n_sentences=1`: the same, but that it compares lines
                 after its normalization (letter case, digits, punctuation), so that it finds more.
lines_domain     line_dedup with its own defaults.
substrings       substring_dedup with its own defaults (50 words).
suffix_array     what Lee et al. do, with pydivsufsort (`pip install pydivsufsort`; null without): a suffix array of
                 all words and its common prefixes, in memory. Writes nothing. datatrove's exact-substring blocks wrap
                 the Rust program of that paper, which is no Python package: they are not run here.

`merge` (with `--rows`, such as 20000000): synthetic keys in 20 runs, a hundredth of them a few keys again and again,
merged into repeats with half a gigabyte for a task: rows a second, and what the peak memory grew by.

`check`: the windows of the first `--check` documents that brute force (a dictionary of all windows) finds repeated, and
those that substring_dedup takes out of the same documents: the words that go must be the same.
"""

import argparse
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from dedup import decode

from pipeline.dedup.array_file import ArrayFile
from pipeline.dedup.lines import LineDedup
from pipeline.dedup.repeats import MEMORY_BYTES, Items, combined, write_repeats, write_run
from pipeline.dedup.substrings import SubstringDedup, cut_words
from pipeline.document import Document, Drop
from pipeline.engine.ledger import Ledger, add_counts
from pipeline.engine.progress import PlainProgress
from pipeline.engine.runner import LocalRunner
from pipeline.engine.settings import RunSettings
from pipeline.sources import read_records
from pipeline.sources.record import Record
from pipeline.stages.main_text import MainText
from pipeline.steps.context import Context, Part
from pipeline.steps.tables import document_schema, signals_type
from pipeline.steps.text_dedup import lines as line_dedup
from pipeline.steps.text_dedup import substrings as substring_dedup

SCHEMA = document_schema(signals_type(()))
EVERY_LINE = LineDedup(scope="global", min_documents=2, min_characters=1, min_document_words=None)
SPANS = SubstringDedup(min_document_words=None)
PART_DOCUMENTS = 3000
MERGE_MEMORY = 1 << 29
HOT_KEYS = 7


def write_parts(patterns: str, documents: int, folder: Path) -> tuple[int, int]:
    """Parquet parts of the inputs' documents; (documents, bytes of text)."""
    from glob import glob

    extract, rows, size = MainText(engine="resiliparse"), [], 0
    paths = sorted(itertools.chain.from_iterable(map(glob, patterns.split())))
    records = (record for path in paths for record in read_records(path))
    for record in records:
        if len(rows) == documents:
            break
        if not isinstance(record, Record) or not record.candidate or record.fault:
            continue
        found = Document(id=record.id, url=record.url, html="" if record.text else decode(record.body))
        page = found.replace(text=record.text) if record.text else extract(found)
        if not isinstance(page, Drop) and page.text.strip():
            row = dict.fromkeys(SCHEMA.names) | {"id": f"{len(rows):08d}", "url": page.url, "text": page.text}
            rows.append(row | {"dump": "", "language": "", "cluster_size": 1})
            size += len(page.text.encode("utf-8", "replace"))
    folder.mkdir(parents=True)
    for number, start in enumerate(range(0, len(rows), PART_DOCUMENTS)):
        table = pa.Table.from_pylist(rows[start : start + PART_DOCUMENTS], SCHEMA)
        pq.write_table(table, folder / f"part-{number:05d}.parquet", compression="zstd")
    return len(rows), size


def run_step(step: Any, config: Any, work: Path, out: Path) -> dict[str, Any]:
    """One of our steps over the parts."""
    files = sorted((work / "in").glob("*.parquet"))
    parts = [Part(key=f"{n:05d}", path=path, rows=pq.read_metadata(path).num_rows) for n, path in enumerate(files)]
    context = Context(out=out, settings=RunSettings(), runner=LocalRunner(), progress=PlainProgress(quiet=True))
    cut_words("compile, or load what is compiled")
    start = time.process_time()
    step.run(context, parts, config, signals_type((), {step.STEP.stage: step.STEP.signals}))
    seconds = time.process_time() - start
    counts = add_counts(Ledger(out, step.STEP.name).committed())
    phases = {folder.name.partition("-")[2]: sum(path.stat().st_size for path in (folder / "files").iterdir())
              for folder in sorted((out / "steps").glob(f"{step.STEP.name}-*"))
              if (folder / "files").exists()}  # fmt: skip
    removed = {name: counts[f"{name}_removed"] for name in step.STEP.signals}
    return {"seconds": seconds, **removed, "changed": counts["changed"], "disk": sum(phases.values()), "phases": phases}


def lines(work: Path) -> dict[str, Any]:
    """Every line that stands in two documents."""
    return run_step(line_dedup, EVERY_LINE, work, work / "lines")


def lines_domain(work: Path) -> dict[str, Any]:
    """As configured by default, but that no document is dropped."""
    return run_step(line_dedup, LineDedup(min_document_words=None), work, work / "lines_domain")


def substrings(work: Path) -> dict[str, Any]:
    """Runs of 50 words."""
    return run_step(substring_dedup, SPANS, work, work / "substrings")


def lines_datatrove(work: Path) -> dict[str, Any]:
    """datatrove's three stages of sentence dedup, on lines."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import SentenceDedupFilter, SentenceDedupSignature, SentenceFindDedups
    from datatrove.pipeline.dedup.sentence_dedup import SentDedupConfig
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter
    from datatrove.utils.hashing import HashConfig

    out = work / "datatrove"
    # Its xxhash fails with current xxhash, which takes no strings.
    config = SentDedupConfig(n_sentences=1, split_sentences=False, min_doc_words=0, min_num_sentences=0,
                             hash_config=HashConfig(precision=64, hash_fc="sha1"))  # fmt: skip
    reader = ParquetReader(str(work / "in"), glob_pattern="*.parquet")
    signed, found = str(out / "signatures"), str(out / "found")
    tasks = len(list((work / "in").glob("*.parquet")))
    stages: list[tuple[int, list[Any]]] = [
        (tasks, [reader, SentenceDedupSignature(signed, finder_workers=1, config=config)]),
        (1, [SentenceFindDedups(signed, found, config=config)]),
        (tasks, [reader, SentenceDedupFilter(found, config=config), ParquetWriter(str(out / "kept"))]),
    ]
    start = time.process_time()
    for number, (count, steps) in enumerate(stages):
        LocalPipelineExecutor(pipeline=steps, tasks=count, workers=1, logging_dir=str(out / f"log{number}")).run()
    seconds = time.process_time() - start
    before, after = (_texts(folder) for folder in (work / "in", out / "kept"))
    left = {name: text.count("\n") for name, text in after.items()}
    gone = {name: text for name, text in before.items() if after.get(name, "") != text}
    return {
        "seconds": seconds,
        "lines": sum(text.count("\n") - left.get(name, -1) for name, text in gone.items()),
        "characters": sum(len(text) - len(after.get(name, "")) for name, text in gone.items()),
        "changed": len(gone),
        "disk": sum(path.stat().st_size for name in ("signatures", "found") for path in (out / name).rglob("*.*")),
    }


def suffix_array(work: Path) -> dict[str, Any]:
    """All places where 50 words stand that stand elsewhere too, by a suffix array of all words."""
    from pydivsufsort import divsufsort, kasai

    texts = list(_texts(work / "in").values())
    start = time.process_time()
    hashes = [np.append(cut_words(text).hashes, np.uint64(number)) for number, text in enumerate(texts)]
    distinct, ids = np.unique(np.concatenate(hashes), return_inverse=True)
    ids = ids.astype(np.int64 if len(distinct) >= 1 << 31 else np.int32)
    suffixes = divsufsort(ids)
    common = np.asarray(kasai(ids, suffixes))
    again = common[:-1] >= SPANS.min_words
    places = np.zeros(len(ids), np.bool_)
    places[suffixes[:-1][again[: len(suffixes) - 1]]] = True
    places[suffixes[1:][again[: len(suffixes) - 1]]] = True
    return {"seconds": time.process_time() - start, "windows": int(places.sum())}


def _texts(folder: Path) -> dict[str, str]:
    return {row["id"]: row["text"] for path in sorted(folder.rglob("*.parquet"))
            for row in pq.read_table(path, columns=["id", "text"]).to_pylist()}  # fmt: skip


def brute_force(work: Path) -> dict[str, Any]:
    """Words that go when every window of every document is compared with all before it."""
    documents = sorted(_texts(work / "in").items(), key=lambda one: blake2b_number(one[0]))
    size, first, gone = SPANS.min_words, dict[bytes, tuple[int, int]](), 0
    for number, (_, text) in enumerate(documents):
        cut = cut_words(text)
        words = [text[start:end] for start, end in zip(cut.starts.tolist(), cut.ends.tolist(), strict=True)]
        covered = np.zeros(len(words), np.bool_)
        for at in range(len(words) - size + 1):
            key = blake2b("\0".join(words[at : at + size]).encode(), digest_size=16).digest()
            document, place = first.setdefault(key, (number, at))
            if document != number or at - place >= size:
                covered[at : at + size] = True
        gone += int(covered.sum())
    ours = run_step(substring_dedup, SPANS, work, work / "checked")
    return {"seconds": ours["seconds"], "documents": len(documents), "words": gone, "words_ours": ours["words"]}


def merge(work: Path) -> dict[str, Any]:
    """Ranges of keys of 20 runs, one after another."""
    rows, runs = int((work / "rows").read_text()), 20
    draw = np.random.default_rng(0)
    paths = [(number, work / f"run-{number}") for number in range(runs)]
    for number, path in paths:
        keys = draw.integers(0, 1 << 64, rows // runs, dtype=np.uint64)
        keys[: len(keys) // 100] = np.arange(len(keys) // 100) % HOT_KEYS
        places = np.arange(len(keys), dtype=np.uint64) + np.uint64(number << 32)
        one = np.ones(len(keys), np.uint32)
        write_run(path, combined(Items(keys, keys >> np.uint64(7), places, keys, places, one, one)))
    stored = sum(ArrayFile(path).rows("key") for _, path in paths)
    tasks = max(1, -(-stored * MEMORY_BYTES // MERGE_MEMORY))
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    before, start = peak_mb(), time.process_time()
    keys_found = sum(write_repeats(paths, n, tasks, runs, 2, work / f"merged-{n}") for n in range(tasks))
    seconds = time.process_time() - start
    return {"seconds": round(seconds, 2), "rows": stored, "tasks": tasks, "repeated_keys": keys_found,
            "rows_per_cpu_second": round(stored / seconds), "growth_mb": peak_mb() - before,
            "run_megabytes": round(sum(path.stat().st_size for _, path in paths) / 1e6)}  # fmt: skip


def peak_mb() -> int:
    """The most memory this process has had; not `ru_maxrss`, which begins with the parent's."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return round(int(status.partition("VmHWM:")[2].split()[0]) / 1024)


def blake2b_number(name: str) -> int:
    """What decides between documents of the same date."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")


SIDES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "lines": lines, "lines_datatrove": lines_datatrove, "lines_domain": lines_domain, "substrings": substrings,
    "suffix_array": suffix_array, "merge": merge, "check": brute_force,
}  # fmt: skip


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
    result = SIDES[side](work)
    result["peak_mb"] = peak_mb()
    (work / f"{side}.json").write_text(json.dumps(result), encoding="utf-8")


def compare(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Every side that can run here."""
    documents, size = write_parts(options.input, options.documents, work / "in")
    if not documents:
        raise SystemExit(f"--input {options.input}: no documents")
    result: dict[str, Any] = {"documents": documents, "kilobytes_per_document": round(size / documents / 1000, 2)}
    sides = [side for side in SIDES if side not in ("check", "merge", "suffix_array")]
    sides += ["suffix_array"] if importlib.util.find_spec("pydivsufsort") else []
    for side in sides:
        found = in_own_process(side, work)
        seconds, disk = found.pop("seconds"), found.pop("disk", None)
        found["cpu_ms_per_document"] = round(1000 * seconds / documents, 3)
        if disk is not None:
            found["disk_bytes_per_document"] = round(disk / documents)
        found["phases"] = {name: round(value / documents) for name, value in found.pop("phases", {}).items()}
        result[side] = {name: value for name, value in found.items() if value != {}}
    result.setdefault("suffix_array", None)
    ours, theirs = (result[side]["cpu_ms_per_document"] for side in ("lines", "lines_datatrove"))
    result["lines_cpu_ratio"] = round(theirs / ours, 1)
    if options.rows:
        (work / "rows").write_text(str(options.rows))
        result["merge"] = in_own_process("merge", work)
    if options.check:
        write_parts(options.input, options.check, work / "first" / "in")
        result["check"] = in_own_process("check", work / "first")
    return result


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--input", help="files or globs, separated by spaces")
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--check", type=int, default=2_000, help="documents for brute force; 0 leaves it out")
    parser.add_argument("--rows", type=int, default=0, help="synthetic keys to merge")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--side", choices=sorted(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run_side(options.side, options.work)
        return
    with tempfile.TemporaryDirectory(prefix="spans-benchmark-") as work:
        result = compare(options, Path(work))
    for name, value in result.items():
        print(f"{name:24} {value}")
    if options.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
