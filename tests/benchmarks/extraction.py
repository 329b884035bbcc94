"""Main text extraction: phrases found and CPU time of our engines beside trafilatura called directly.

    python tests/benchmarks/extraction.py [FOLDER] [--rounds 3] [--held-out] [--json]

FOLDER (default: data/web of the shared test data) holds WARC files and gold.jsonl, whose lines name a page's `url`, the
phrases its text `must_have` and those it `must_not_have`. White space is folded; recall is the share of wanted phrases
found, precision the share of found phrases that are wanted, over all pages. CPU seconds are for those pages, of one
process for each engine and round, reading and decoding left out; the engines take turns and the fastest round counts.
Trafilatura is called with favor_precision=True, include_comments=False, deduplicate=False.

The model of `blocks` was trained on these pages and phrases, too: `extractor_folds.py` says what it is worth on others.

The thresholds of `adaptive` (`Trust`) were chosen on the pages of data/web. `--held-out` shows what such a choice is
worth on pages it has not seen: the pages fall into two halves by their host; on each half the thresholds with the best
F1 are chosen from a grid around the shipped ones, and judged on the other half, beside the shipped ones.
"""

import argparse
import dataclasses
import hashlib
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pipeline.document import Document
from pipeline.sources import read_records
from pipeline.sources.record import Record
from pipeline.sources.screen import Screen
from pipeline.stages.main_text import MainText, Trust
from pipeline.stages.support import fast_extraction

SHARED = Path(os.environ.get("TOKENMILL_SHARED", Path(__file__).resolve().parents[3] / "shared" / "data"))
DIRECT = "trafilatura, called directly"
ENGINES = (DIRECT, "trafilatura", "adaptive", "resiliparse", "blocks")
GRID = {
    "min_size": (300, 500, 800),
    "min_median_line": (40, 60, 80),
    "max_short_run": (3, 5, 8),
    "min_share_of_main": (0.5, 0.7, 0.8),
    "min_share_of_page": (0.05, 0.1, 0.2),
}


def read_pages(folder: Path) -> tuple[dict[str, dict[str, Any]], list[Document]]:
    """The gold phrases by URL, and the pages that have some."""
    gold = {row["url"]: row for row in map(json.loads, (folder / "gold.jsonl").read_text("utf-8").splitlines())}
    pages = []
    for path in sorted(folder.glob("*.warc.gz")):
        for record in read_records(str(path)):
            page = Screen()(record) if isinstance(record, Record) and record.url in gold else None
            if isinstance(page, Document):
                pages.append(page)
    return gold, pages


def extractor(engine: str) -> Callable[[Document], str]:
    """A page to its text, "" where there is none."""
    if engine == DIRECT:
        import trafilatura

        options = {"favor_precision": True, "include_comments": False, "deduplicate": False}
        return lambda page: trafilatura.extract(page.html, **options) or ""
    stage = MainText(engine=engine)  # type: ignore[arg-type]
    return lambda page: getattr(stage(page), "text", "")


def measure(engine: str, folder: Path) -> dict[str, Any]:
    """One round of one engine: its texts by URL and the CPU seconds it took."""
    _, pages = read_pages(folder)
    extract = extractor(engine)
    extract(pages[0])
    started = time.process_time()
    texts = {page.url: extract(page) for page in pages}
    return {"seconds": time.process_time() - started, "texts": texts}


def score(texts: dict[str, str], gold: dict[str, dict[str, Any]]) -> dict[str, float]:
    wanted = found = unwanted = 0
    for url, row in gold.items():
        text = fold(texts.get(url, ""))
        wanted += len(row["must_have"])
        found += sum(fold(phrase) in text for phrase in row["must_have"])
        unwanted += sum(fold(phrase) in text for phrase in row["must_not_have"])
    recall, precision = found / wanted, found / (found + unwanted)
    return {"recall": recall, "precision": precision, "f1": statistics.harmonic_mean([recall, precision])}


def fold(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def compare(folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    gold, pages = read_pages(folder)
    measured: dict[str, list[dict[str, Any]]] = {engine: [] for engine in ENGINES}
    for _ in range(rounds):
        for engine in ENGINES:
            command = [sys.executable, __file__, str(folder), "--engine", engine]
            measured[engine].append(json.loads(subprocess.run(command, capture_output=True, check=True).stdout))
    texts = {engine: runs[0]["texts"] for engine, runs in measured.items()}
    seconds = {engine: min(run["seconds"] for run in runs) for engine, runs in measured.items()}
    rows = {
        engine: {
            **score(texts[engine], gold),
            "cpu_seconds": seconds[engine],
            "cpu_share": seconds[engine] / seconds[DIRECT],
            "same_text": sum(texts[engine][url] == text for url, text in texts[DIRECT].items()) / len(pages),
        }
        for engine in ENGINES
    }
    doubted = sum(not Trust().accepts(fast_extraction.read(page.html)) for page in pages)
    rows["adaptive"]["fallback_share"] = doubted / len(pages)
    return rows


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """What a choice of thresholds needs to know of a page: phrases as (wanted, found, unwanted found)."""

    half: int
    signals: Any
    """What `Trust.accepts` asks of a FastText."""
    fast: tuple[int, int, int]
    slow: tuple[int, int, int]


def held_out(folder: Path) -> list[dict[str, Any]]:
    """For each half as the unseen one: F1 and share of pages that go to trafilatura, by way of choosing."""
    pages = list(map_pages(folder))
    rows = []
    for unseen in (0, 1):
        seen = [page for page in pages if page.half != unseen]
        rest = [page for page in pages if page.half == unseen]
        choices = [Trust(**dict(zip(GRID, values, strict=True))) for values in itertools.product(*GRID.values())]
        chosen = max(choices, key=lambda trust: (judge(seen, trust)["f1"], -judge(seen, trust)["fallback_share"]))
        always = dataclasses.replace(Trust(), min_size=10**9)
        ways = {"trafilatura alone": always, "shipped": Trust(), "chosen on the other half": chosen}
        rows.append({"pages": len(rest), **{way: judge(rest, trust) for way, trust in ways.items()}})
    return rows


def map_pages(folder: Path) -> Iterator[Page]:
    gold, pages = read_pages(folder)
    slow = extractor("trafilatura")
    for page in pages:
        fast, row = fast_extraction.read(page.html), gold[page.url]
        names = ("kept_size", "main_size", "median_line", "longest_short_run", "repeated_lines")
        crude = fast.crude_size()
        signals = SimpleNamespace(**{name: getattr(fast, name) for name in names}, crude_size=lambda crude=crude: crude)
        host = urllib.parse.urlsplit(page.url).hostname or ""
        half = hashlib.sha256(host.encode()).digest()[0] % 2
        yield Page(half, signals, count(fast.text, row), count(slow(page), row))


def count(text: str, row: dict[str, Any]) -> tuple[int, int, int]:
    """Phrases wanted, found, and found though unwanted."""
    text = fold(text)
    found, unwanted = (sum(fold(phrase) in text for phrase in row[name]) for name in ("must_have", "must_not_have"))
    return len(row["must_have"]), found, unwanted


def judge(pages: list[Page], trust: Trust) -> dict[str, float]:
    """F1 of the adaptive engine with these thresholds, and the share of pages that go on to trafilatura."""
    trusted = [trust.accepts(page.signals) for page in pages]
    counts = [page.fast if fast else page.slow for page, fast in zip(pages, trusted, strict=True)]
    wanted, found, unwanted = (sum(column) for column in zip(*counts, strict=True))
    f1 = statistics.harmonic_mean([found / wanted, found / (found + unwanted)])
    return {"f1": f1, "fallback_share": 1 - sum(trusted) / len(pages)}


def show_held_out(rows: list[dict[str, Any]]) -> None:
    for number, row in enumerate(rows, 1):
        print(f"unseen half {number}, {row['pages']} pages")
        for way in ("trafilatura alone", "shipped", "chosen on the other half"):
            print(f"  {way:26} F1 {row[way]['f1']:.4f}  asks trafilatura about {row[way]['fallback_share']:.0%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=SHARED / "web")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one object as the last line")
    parser.add_argument("--held-out", action="store_true", help="judge the thresholds on pages they were not chosen on")
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.engine:
        print(json.dumps(measure(arguments.engine, arguments.folder)))
        return
    if arguments.held_out:
        halves = held_out(arguments.folder)
        show_held_out(halves)
        if arguments.json:
            print(json.dumps(halves))
        return
    rows = compare(arguments.folder, arguments.rounds)
    print(f"{'engine':30} {'recall':>7} {'precision':>9} {'F1':>7} {'CPU s':>7} {'of direct':>9} {'same text':>9}")
    for engine, row in rows.items():
        print(
            f"{engine:30} {row['recall']:7.4f} {row['precision']:9.4f} {row['f1']:7.4f} {row['cpu_seconds']:7.2f} "
            f"{row['cpu_share']:9.2f} {row['same_text']:9.3f}"
        )
    print(f"adaptive asked trafilatura about {rows['adaptive']['fallback_share']:.0%} of the pages")
    if arguments.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
