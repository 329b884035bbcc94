"""What a page costs, from WARC to filtered text: datatrove's FineWeb recipe beside ours.

    python tests/benchmarks/pages.py [WARC_OR_FOLDER ...] [--rounds 3] [--pages N] [--json]

Default: data/web of the shared test data. Both sides read the same WARC files and apply the same filters: URL lists,
main text, Gopher repetition, Gopher quality, C4, FineWeb, email and IP addresses; theirs writes jsonl.gz, ours the
parquet files of steps 1 and 2, raw values of every rule, dropped pages and their reasons included.

    datatrove             its blocks as its FineWeb script sets them up (trafilatura favouring precision), but without a
                          language filter: every page goes through every filter until one drops it
    datatrove+language    the same with its LanguageFilter (English) after extraction, as in the script, on our copy of
                          lid.176.ftz; its default is the larger lid.176.bin
    trafilatura, resiliparse, adaptive, blocks
                          our steps 1 and 2 as `tokenmill build --local` runs them, pages in the guarded child process,
                          with the language prefilter and language_id (English) as in configs/pipeline/fineweb-en.yaml

datatrove's WarcReader needs the library libmagic (Debian: libmagic1); where it is missing, its blocks are fed by
FastWARC and Resiliparse's charset detection, which cost less (`reader` in the output says which).

Each run is one process with its children, all pinned to one core; the sides take turns and the fastest round counts.
CPU seconds are those of the whole process tree, imports, start-up and loading of models included; the ratios compare
these whole runs, against `datatrove`. ms/page and `per_page` leave loading out: they are the cost of the pages after
the first 50, which a second run reads alone. Both sides run from byte code, as installed packages do: pip compiles what
it installs, so the first run compiles the modules of this checkout, too, and keeps them, even where
PYTHONDONTWRITEBYTECODE is set. The CPU time of a step is measured inside the process: datatrove's by its own wall clock
(right where the machine is idle), ours by CPU clocks. Peak memory is that of the largest process of the tree.
Survivors are compared with those of `datatrove+language`, which has the same filters as ours, where that runs.
"""

import argparse
import gzip
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

SHARED = Path(os.environ.get("TOKENMILL_SHARED", Path(__file__).resolve().parents[3] / "shared" / "data"))
THEIRS = ("datatrove", "datatrove+language")
ENGINES = ("trafilatura", "adaptive", "resiliparse", "blocks")
RATIOS = ("", "_per_page", "_to_language", "_to_language_per_page")
SIDES = (*THEIRS, *ENGINES)
EXTRACT_TIMEOUT = 20.0
"""Seconds of wall clock: datatrove's default of 1 would lose pages whenever something else runs on the machine."""
WARM_UP = 50
"""Pages after which every model is loaded and every import done."""


def their_reader(folder: Path) -> Any:
    """datatrove's own reader where its packages are installed, else the pages as its reader would hand them on."""
    from datatrove.pipeline.readers import WarcReader

    try:
        import magic  # noqa: F401 - fails where the library behind it is missing

        return WarcReader(str(folder), glob_pattern="*.warc.gz", default_metadata={"dump": "bench"})
    except ImportError:
        return lambda *_, **__: read_fast(folder)


def read_fast(folder: Path) -> Iterator[Any]:
    """Every response of the WARC files of a folder, as datatrove's Document."""
    from datatrove.data import Document
    from fastwarc.warc import ArchiveIterator, WarcRecordType
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding

    for file in sorted(folder.glob("*.warc.gz")):
        with file.open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
                body = record.reader.read()
                text = bytes_to_str(body, detect_encoding(body))
                yield Document(text=text, id=record.record_id, metadata={"url": record.headers["WARC-Target-URI"]})


def run_datatrove(folder: Path, out: Path, *, language: bool) -> dict[str, Any]:
    """datatrove's recipe over the WARC files of a folder."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.base import PipelineStep
    from datatrove.pipeline.extractors import Trafilatura
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
        LanguageFilter,
        URLFilter,
    )
    from datatrove.pipeline.formatters import PIIFormatter
    from datatrove.pipeline.writers import JsonlWriter
    from datatrove.utils.lid import FT176LID

    from pipeline.storage.assets import asset_path

    FT176LID.MODEL_URL = str(asset_path("lid.176.ftz"))
    steps: list[Any] = [
        their_reader(folder),
        URLFilter(),
        Trafilatura(favour_precision=True, timeout=EXTRACT_TIMEOUT),
        *([LanguageFilter(languages="en")] if language else []),
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
        PIIFormatter(),
        JsonlWriter(str(out / "kept")),
    ]
    executor = LocalPipelineExecutor(pipeline=steps, tasks=1, workers=1, logging_dir=str(out / "logs"))
    stats = executor.run()
    urls = [json.loads(line)["metadata"]["url"] for path in (out / "kept").glob("*.jsonl.gz") for line in read(path)]
    seconds = {item.name: round(item.time_stats.total, 3) for item in stats.stats if item.time_stats.total}
    pages = next(item.stats["total"].total for item in stats.stats if item.name.endswith(URLFilter.name))
    reader = "WarcReader" if isinstance(steps[0], PipelineStep) else "FastWARC"
    return {"pages": pages, "kept": urls, "seconds": seconds, "reader": reader}


def read(path: Path) -> list[str]:
    return gzip.decompress(path.read_bytes()).decode().splitlines()


def run_ours(folder: Path, out: Path, *, engine: str) -> dict[str, Any]:
    """Our steps 1 and 2 over the same files."""
    import pyarrow.parquet as pq

    from pipeline.engine.ledger import add_counts
    from pipeline.engine.progress import open_progress
    from pipeline.engine.runner import open_runner
    from pipeline.engine.settings import RunSettings
    from pipeline.sources.listing import expand
    from pipeline.sources.screen import Screen
    from pipeline.stages.c4 import C4
    from pipeline.stages.fineweb import Fineweb
    from pipeline.stages.gopher_quality import GopherQuality
    from pipeline.stages.gopher_repetition import GopherRepetition
    from pipeline.stages.language_id import LanguageId
    from pipeline.stages.language_prefilter import LanguagePrefilter
    from pipeline.stages.main_text import MainText
    from pipeline.stages.pii import Pii
    from pipeline.stages.url_filter import UrlFilter
    from pipeline.steps.context import Context, parts_in
    from pipeline.steps.extract import step as extract_step
    from pipeline.steps.filter import step as filter_step
    from pipeline.steps.registry import EXTRACT, FILTER
    from pipeline.steps.tables import signals_type

    settings = RunSettings(output=str(out), local=True)
    extract = (UrlFilter(), LanguagePrefilter(), MainText(engine=engine), LanguageId())  # type: ignore[arg-type]
    quality = (GopherRepetition(), GopherQuality(), C4(), Fineweb(), Pii(types=("EMAIL_ADDRESS", "IP_ADDRESS")))
    started = time.process_time()
    with open_runner(settings) as runner, open_progress(True) as progress:
        context = Context(out=out, settings=settings, runner=runner, progress=progress)
        extracted = extract_step.run(
            context, expand((str(folder),)), extract_step.Reading(dump="bench"), Screen(), extract
        )
        parts = parts_in(out, extracted.values(), EXTRACT.folder)
        filtered = filter_step.run(context, parts, quality, signals_type((*extract, *quality)))
    seconds: dict[str, float] = {}
    for commit in (*extracted.values(), *filtered.values()):
        for stage, value in commit.seconds.items():
            seconds[stage] = round(seconds.get(stage, 0) + value, 3)
    seconds["parent: writing, watching"] = round(time.process_time() - started, 3)
    tables = [pq.ParquetFile(part.path).read(["url"]) for part in parts_in(out, filtered.values(), FILTER.folder)]
    kept = [url for table in tables for url in table["url"].to_pylist()]
    return {"pages": add_counts(extracted)["read"], "kept": kept, "seconds": seconds}


def child(side: str, folder: Path, out: Path) -> None:
    """One run, in a process of its own."""
    if side in THEIRS:
        found = run_datatrove(folder, out, language=side != "datatrove")
    else:
        found = run_ours(folder, out, engine=side)
    (out / "result.json").write_text(json.dumps(found))


def measure(side: str, folder: Path, core: int) -> dict[str, Any]:
    """One run, pinned and measured from outside."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        command = [sys.executable, __file__, str(folder), "--side", side, "--out", name]
        log = (out / "log").open("wb")
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, preexec_fn=lambda: os.sched_setaffinity(0, {core})
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit(f"pages: {side} failed:\n{(out / 'log').read_text(errors='replace')[-3000:]}")
        found: dict[str, Any] = json.loads((out / "result.json").read_text())
        found |= {"cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_mb": usage.ru_maxrss / 1024}
        return found


def prepare(inputs: list[Path], limit: int | None, folder: Path) -> None:
    """A folder with the WARC files, or with the first `limit` pages of them, the last file cut where they end."""
    files = [file for path in inputs for file in (sorted(path.glob("*.warc.gz")) if path.is_dir() else [path])]
    if not files:
        sys.exit(f"pages: no *.warc.gz in {', '.join(map(str, inputs))}")
    folder.mkdir()
    for file in files:
        pages, end = pages_in(file, limit)
        if end is None:
            (folder / file.name).symlink_to(file.resolve())
        else:
            with file.open("rb") as source:
                (folder / file.name).write_bytes(source.read(end))
        limit = None if limit is None else limit - pages
        if limit == 0:
            return


def pages_in(file: Path, limit: int | None) -> tuple[int, int | None]:
    """How many pages a file holds, `limit` at most, and the byte at which they end; None: with the file."""
    from pipeline.sources import read_records
    from pipeline.sources.record import Record

    pages = 0
    for record in read_records(str(file)) if limit is not None else ():
        if isinstance(record, Record) and record.candidate:
            if pages == limit:
                return pages, record.warc_offset
            pages += 1
    return pages, None


def compare(inputs: list[Path], limit: int | None, rounds: int, sides: list[str], core: int) -> dict[str, Any]:
    """All sides, all rounds."""
    best: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder, first = Path(name) / "pages", Path(name) / "first"
        prepare(inputs, limit, folder)
        prepare(sorted(folder.iterdir())[:1], WARM_UP, first)
        warm: dict[str, float] = {}
        for number in range(rounds):
            for side in sides:
                print(f"round {number + 1} of {rounds}: {side}", file=sys.stderr, flush=True)
                warm[side] = min(warm.get(side, math.inf), measure(side, first, core)["cpu_seconds"])
                found = measure(side, folder, core)
                if side not in best or found["cpu_seconds"] < best[side]["cpu_seconds"]:
                    best[side] = found
    return {side: {**found, "warm": warm[side]} for side, found in best.items()}


def _per_page(row: dict[str, Any]) -> float:
    """CPU ms of a page once everything is loaded."""
    return 1000 * (row["cpu_seconds"] - row["warm"]) / max(row["pages"] - WARM_UP, 1)


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """The figures for a program."""
    base = found["datatrove"]
    result: dict[str, Any] = {"pages": base["pages"], "reader": base["reader"]}
    for side, row in found.items():
        result[side] = {
            "cpu_seconds": round(row["cpu_seconds"], 2),
            "first_pages_cpu_seconds": round(row["warm"], 2),
            "ms_per_page": round(_per_page(row), 2),
            "pages_per_cpu_second": round(row["pages"] / row["cpu_seconds"], 1),
            "peak_mb": round(row["peak_mb"]),
            "kept": len(row["kept"]),
            "seconds_by_step": row["seconds"],
        }
    same = found.get("datatrove+language", base)
    for side in (side for side in ENGINES if side in found):
        row, theirs, ours = found[side], set(same["kept"]), set(found[side]["kept"])
        result[f"ratio_{side}"] = round(base["cpu_seconds"] / row["cpu_seconds"], 2)
        result[f"ratio_{side}_per_page"] = round(_per_page(base) / _per_page(row), 2)
        if "datatrove+language" in found:
            other = found["datatrove+language"]
            result[f"ratio_{side}_to_language"] = round(other["cpu_seconds"] / row["cpu_seconds"], 2)
            result[f"ratio_{side}_to_language_per_page"] = round(_per_page(other) / _per_page(row), 2)
        result[f"agree_{side}"] = {
            "of_theirs_kept_here": round(len(theirs & ours) / max(len(theirs), 1), 4),
            "of_ours_kept_there": round(len(theirs & ours) / max(len(ours), 1), 4),
        }
        if side == "trafilatura":
            result["survivors_agree"] = round(len(theirs & ours) / max(len(theirs | ours), 1), 4)
    return result


def show(result: dict[str, Any], sides: list[str]) -> None:
    """The figures for a reader."""
    print(f"{result['pages']} pages, read for datatrove by {result['reader']}")
    columns = ("CPU s", "first 50", "ms/page", "pages/CPU s", "peak MB", "kept")
    columns += ("ratio", "per page", "to +language", "per page")
    print(f"{'side':20}" + "".join(f" {name:>12}" for name in columns))
    for side in sides:
        row = result[side]
        names = ("cpu_seconds", "first_pages_cpu_seconds", "ms_per_page", "pages_per_cpu_second", "peak_mb", "kept")
        figures = [row[name] for name in names]
        if side in ENGINES:
            figures += [result.get(f"ratio_{side}{what}", "") for what in RATIOS]
        print(f"{side:20}" + "".join(f" {figure:>12}" for figure in figures))
    for side in sides:
        print(f"\n{side}: seconds by step")
        for step, value in sorted(result[side]["seconds_by_step"].items(), key=lambda item: -item[1]):
            print(f"  {value:8.2f}  {result['pages'] / value if value else 0:10.0f} pages/s  {step}")
    for side in sides:
        if side in ENGINES:
            agree = result[f"agree_{side}"]
            print(
                f"\n{side}: keeps {agree['of_theirs_kept_here']:.1%} of the survivors of the same filters there; "
                f"datatrove keeps {agree['of_ours_kept_there']:.1%} of ours",
                end="",
            )
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="*", type=Path, default=[SHARED / "web"], metavar="WARC_OR_FOLDER")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pages", type=int, help="only the first N pages")
    parser.add_argument("--sides", default=",".join(SIDES), help="which to run; datatrove must be among them")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--json", action="store_true", help="one object as the last line")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        child(arguments.side, arguments.inputs[0], arguments.out)
        return
    sides = [side for side in SIDES if side in {*arguments.sides.split(","), "datatrove"}]
    result = summary(compare(arguments.inputs, arguments.pages, arguments.rounds, sides, arguments.core))
    show(result, sides)
    if arguments.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
