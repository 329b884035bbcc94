"""Make the demo's input: `python infra/demo/make_crawl.py OUT`.

Serves the demo's sites on loopback, crawls them over HTTP and leaves

    OUT/crawl/demo-*.warc.gz     the documentation and the pages written for the demo
    OUT/crawl/damaged.warc.gz    three pages, the last one cut off in the middle of its gzip member
    OUT/benchmark.jsonl          multiple-choice questions, one of which stands on a page
    OUT/conversations.jsonl      conversations for fine-tuning
    OUT/demo.json                what it was made from; written last

What is complete and made from the same files by the same Python is left as it is. Needs no network.
"""

import argparse
import contextlib
import hashlib
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from sft_examples import conversations
from web_page import ARCHIVE_HOST, BLOCKED_HOST, DOCS_HOST, VILLAGE_HOST

from pipeline import __version__
from pipeline.crawler.crawl import CrawlSummary, crawl

HERE = Path(__file__).resolve().parent
DATE = "2026-01-31T00:00:00Z"
"""Written into every record, so that the files are the same each time."""
PAGES_PER_WARC = 180


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT")
    out = parser.parse_args().out
    made_from = fingerprint()
    state = out / "demo.json"
    if state.exists() and json.loads(state.read_text())["made_from"] == made_from:
        print(f"{out}: complete, left as it is")
        return
    state.unlink(missing_ok=True)
    summary = make(out)
    state.write_text(json.dumps({"made_from": made_from}) + "\n")
    print(f"{out}: {summary.stored} pages in {len(summary.warcs)} WARC files, {summary.bytes / 1e6:.1f} MB of pages")


def make(out: Path) -> CrawlSummary:
    """Everything but `demo.json`."""
    for folder in (out / "crawl", out / "archive"):
        shutil.rmtree(folder, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    with serving() as port:
        summary = visit((DOCS_HOST, VILLAGE_HOST, BLOCKED_HOST), out / "crawl", "demo", port)
        visit((ARCHIVE_HOST,), out / "archive", "archive", port)
    damage(out / "archive/archive-00000", out / "crawl/damaged.warc.gz")
    shutil.copyfile(HERE / "benchmark.jsonl", out / "benchmark.jsonl")
    lines = (json.dumps(conversation, ensure_ascii=False) + "\n" for conversation in conversations())
    (out / "conversations.jsonl").write_text("".join(lines), encoding="utf-8")
    return summary


@contextlib.contextmanager
def serving() -> Iterator[int]:
    """The web server as a process of its own; gives its port."""
    command = [sys.executable, str(HERE / "web_server.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            port = server.stdout.readline().strip()
            if not port:
                raise SystemExit("the demo's web server did not start; its message is above")
            yield int(port)
        finally:
            server.terminate()


def visit(hosts: tuple[str, ...], folder: Path, name: str, port: int) -> CrawlSummary:
    """Crawl hosts as if they were on the web; their names stand for the server on loopback."""
    return crawl(
        [f"http://{host}/" for host in hosts],
        folder,
        name=name,
        limit=10_000,
        per_warc=PAGES_PER_WARC,
        delay=0,
        date=DATE,
        connect_to=tuple(f"{host}:80:127.0.0.1:{port}" for host in hosts),
    )


def damage(made: Path, target: Path) -> None:
    """Copy a WARC file up to the middle of its last response, as a broken transfer leaves it."""
    index = [json.loads(line) for line in made.with_suffix(".jsonl").read_text().splitlines()]
    last = [page for page in index if page.get("status") == 200][-1]
    data = made.with_suffix(".warc.gz").read_bytes()
    target.write_bytes(data[: last["offset"] + last["length"] // 2])


def fingerprint() -> str:
    """Changes with every file of the demo, with tokenmill's version and with Python's."""
    digest = hashlib.sha256(f"{__version__} {platform.python_version()}".encode())
    for path in sorted(path for path in HERE.rglob("*") if path.is_file() and path.suffix in {".py", ".txt", ".jsonl"}):
        digest.update(f"{path.relative_to(HERE)} {path.stat().st_size} ".encode() + path.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
