"""Reading WARC files: CPU time a page of ours beside FastWARC's and warcio's own iterators.

    python tests/benchmarks/reading.py [--data FOLDER] [--rounds 5] [--json]

All sides read every record of the same gzip files in this process, in turns; the fastest round counts, in CPU time.
FastWARC and warcio hand out bodies as they come; ours parses HTTP, proves where each record lies and survives damage.
The last two rows add what a page needs next: its type, size and characters. warcio is left out where it is missing.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fastwarc.warc import ArchiveIterator, WarcRecordType

from pipeline.sources import read_records
from pipeline.sources.record import Record
from pipeline.sources.screen import Screen
from pipeline.sources.warc.reader import open_archive
from pipeline.sources.warc.recovery import read_recovering

REPOSITORY = Path(__file__).resolve().parents[2]


def fastwarc_blocks(path: str) -> int:
    """Pages; every block read, no HTTP."""
    pages = 0
    for record in ArchiveIterator(path, parse_http=False, fsspec_args=False):
        record.reader.read()
        pages += record.record_type == WarcRecordType.response
    return pages


def fastwarc_http(path: str) -> int:
    """Pages; responses only, HTTP parsed."""
    found = ArchiveIterator(path, record_types=WarcRecordType.response, fsspec_args=False)
    return sum(1 for record in found if record.reader.read() is not None)


def warcio(path: str) -> int:
    """Pages; every record read, HTTP parsed."""
    from warcio.archiveiterator import ArchiveIterator as WarcioIterator

    pages = 0
    with open(path, "rb") as source:
        for record in WarcioIterator(source):
            record.content_stream().read()
            pages += record.rec_type == "response"
    return pages


def ours(path: str) -> int:
    """Pages, as Records."""
    return sum(1 for item in read_records(path, format="warc") if isinstance(item, Record) and item.candidate)


def ours_recovering(path: str) -> int:
    """Pages, all by the reader for damaged files (blocks only)."""
    with open(path, "rb", buffering=0) as source:
        found = read_recovering(open_archive(source, path), 0, 1 << 26)
        return sum(getattr(item, "fields", {}).get(b"warc-type") == b"response" for item in found)


def ours_screened(path: str) -> int:
    """Pages, as decoded Documents."""
    screen = Screen()
    found = (item for item in read_records(path, format="warc") if isinstance(item, Record) and item.candidate)
    return sum(1 for item in found if screen(item) is not None)


SIDES: dict[str, Callable[[str], int]] = {
    "fastwarc, blocks": fastwarc_blocks, "fastwarc, http": fastwarc_http, "warcio": warcio, "ours": ours,
    "ours, recovering reader": ours_recovering, "ours, read + screen + decode": ours_screened,
}  # fmt: skip


def measure(sides: dict[str, Callable[[str], int]], paths: list[str], rounds: int) -> tuple[dict[str, float], int]:
    """Best CPU seconds by side, and the pages (the same for all)."""
    best: dict[str, float] = {}
    pages: set[int] = set()
    for _ in range(rounds):
        for name, side in sides.items():
            start = time.process_time()
            pages.add(sum(side(path) for path in paths))
            best[name] = min(best.get(name, 1e9), time.process_time() - start)
    if len(pages) != 1:
        raise SystemExit(f"the sides disagree on the number of pages: {sorted(pages)}")
    return best, pages.pop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(os.environ.get("TOKENMILL_SHARED", REPOSITORY.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=shared / "web", help="folder of *.warc.gz files")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    paths = sorted(map(str, arguments.data.glob("*.warc.gz")))
    if not paths:
        raise SystemExit(f"{arguments.data}: no *.warc.gz file")
    sides = dict(SIDES)
    try:
        import warcio  # noqa: F401
    except ImportError:
        del sides["warcio"]
        print("warcio is not installed: left out")
    best, pages = measure(sides, paths, arguments.rounds)
    megabytes = sum(Path(path).stat().st_size for path in paths) / 1e6
    print(
        f"{pages} pages in {len(paths)} files, {megabytes:.1f} MB; CPU ms a page, MB of WARC a second, beside FastWARC"
    )
    for name, seconds in best.items():
        ratio = seconds / best["fastwarc, blocks"]
        print(f"  {name:30} {seconds / pages * 1e3:7.3f} {megabytes / seconds:8.1f} {ratio:6.2f}x")
    if arguments.json:
        milliseconds = {name: round(seconds / pages * 1e3, 4) for name, seconds in best.items()}
        print(
            json.dumps(
                {"pages": pages, "ms_per_page": milliseconds, "ratio_fastwarc": best["ours"] / best["fastwarc, blocks"]}
            )
        )


if __name__ == "__main__":
    main()
