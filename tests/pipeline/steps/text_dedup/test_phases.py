"""Whole builds with line and substring dedup: same bytes on Ray, reused, verified, traced and shown."""

import dataclasses
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from warc_pages import Page, prose, write_warc

from pipeline.config import load_config
from pipeline.contract.run import RunRecord
from pipeline.engine.ledger import Ledger
from pipeline.flow import build
from pipeline.report.status import run_status
from pipeline.tools.remove import Takedown, remove
from pipeline.tools.trace import trace_domain, trace_url
from pipeline.tools.verify import verify

CONFIG = """
extract: [{main_text: {engine: resiliparse}}]
filter: [{gopher_quality: {min_words: 20}}]
line_dedup: {min_documents: 4, min_document_words: 20}
substring_dedup: {min_words: 30, min_document_words: 20}
tokenize: {train_tokenizer: {vocabulary_size: 400}, tokens_per_shard: 5000}
run: {local: true, isolate: false}
"""
NOTICE = "Read the terms of this site and the notes on the use of its pages with care."
QUOTE = " ".join(f"said {n} of the" for n in "abcdefghijklmnop")
FOLDERS = ("documents", "dropped", "tokens")


@pytest.fixture(scope="module")
def crawl(tmp_path_factory) -> Path:
    """Pages of two sites; those of one carry a notice, and some of both a quotation."""
    folder = tmp_path_factory.mktemp("crawl")
    pages = []
    for number in range(12):
        notice = f"<p>{NOTICE}</p>" if number % 2 else ""
        quote = f"<p>Then page{number} wrote{number}: {QUOTE} (page{number}).</p>" if number % 3 == 0 else ""
        body = f"<html><body><main>{notice}{prose(number, 10)}{quote}</main></body></html>"
        date = f"2024-01-{number + 1:02d}T00:00:00Z"
        pages.append(Page(url=f"https://{'ab'[number % 2]}.example/{number}", html=body, date=date))
    short = f"<html><body><main><p>{NOTICE}</p><p>The rest of it and that is that.</p></main></body></html>"
    pages.append(Page(url="https://b.example/short", html=short, date="2024-02-01T00:00:00Z"))
    for number in range(2):
        write_warc(folder / f"{number}.warc.gz", pages[number * 6 : 6 + number * 7])
    (folder / "build.yaml").write_text(CONFIG)
    return folder


def run(crawl: Path, out: Path, *overrides: str, reuse: Path | None = None) -> RunRecord:
    inputs = [f"{crawl}/*.warc.gz"]
    config = load_config(crawl / "build.yaml", inputs=inputs, output=str(out), overrides=overrides)
    return build(config, quiet=True, reuse=reuse)


@pytest.fixture(scope="module")
def out(crawl, tmp_path_factory) -> Path:
    """The build."""
    folder = tmp_path_factory.mktemp("runs") / "out"
    run(crawl, folder)
    return folder


def bytes_of(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes()
            for folder in FOLDERS for path in sorted((out / folder).iterdir())}  # fmt: skip


def test_what_is_taken_out_and_what_is_said_of_it(out):
    texts = {row["url"]: row["text"] for row in pq.read_table(out / "documents").to_pylist()}
    assert [url for url, text in texts.items() if NOTICE in text] == ["https://b.example/1"]
    assert [url for url, text in texts.items() if QUOTE in text] == ["https://a.example/0"]
    assert texts["https://b.example/3"].endswith("Then page3 wrote3: (page3).")
    totals = RunRecord.read(out).totals
    assert totals.dropped == {"line_dedup.repeated_lines.too_few_words": 1}
    assert (totals.read, totals.kept, totals.balanced) == (13, 12, True)


def test_a_trace_shows_what_a_document_lost(out):
    [found] = trace_url(out, "https://b.example/3")
    assert {name: value for name, value in found.details.items() if "repeated" in name} == {
        "repeated_lines.lines": 1, "repeated_lines.characters": len(NOTICE) + 2,
        "repeated_spans.spans": 1, "repeated_spans.words": 64, "repeated_spans.characters": len(QUOTE) + 1,
    }  # fmt: skip
    [untouched] = trace_url(out, "https://a.example/2")
    assert not any("repeated" in name for name in untouched.details)
    [gone] = [one for one in trace_domain(out, "b.example") if one.outcome == "dropped"]
    assert gone.details["detail"] == f"1 lines, {len(NOTICE) + 2} of {len(NOTICE) + 34} characters removed"
    assert gone.details["value"] < gone.details["limit"] == 20


def test_verify_holds_and_finds_counts_that_do_not_add_up(crawl, out, tmp_path):
    assert [check.problems for check in verify(out) if not check.ok] == []
    [check] = [check for check in verify(out) if check.name == "text taken out is counted"]
    assert check.looked_at.endswith("characters by substring_dedup")
    run(crawl, tmp_path / "out")
    ledger = Ledger(tmp_path / "out", "line_dedup")
    commit = ledger.committed()["00001"]
    more = {name: commit.counts[name] + 5 for name in ("lines_removed", "characters_removed")}
    ledger.replace(dataclasses.replace(commit, counts={**commit.counts, **more}))
    [check] = [check for check in verify(tmp_path / "out") if check.name == "text taken out is counted"]
    assert len(check.problems) == 3  # characters in and out, lines and characters in the documents


def test_the_report_and_status_know_the_steps(out):
    page = (out / "report.html").read_text()
    assert "line_dedup" in page
    assert "line_dedup.repeated_lines.too_few_words" in page
    assert '<td class="n">5 lines</td>' in page
    assert "3 spans, 192 words" in page
    steps = {step.name: step for step in run_status(out).steps}
    assert (steps["line_dedup"].read, steps["line_dedup"].kept, steps["line_dedup"].tasks) == (13, 12, 2)
    assert (steps["substring_dedup"].read, steps["substring_dedup"].kept) == (12, 12)


def test_two_workers_on_ray_write_the_same_bytes(crawl, out, tmp_path):
    run(crawl, tmp_path / "ray", "run.local=false", "run.workers=2")
    assert bytes_of(tmp_path / "ray") == bytes_of(out)


def test_what_cannot_differ_is_taken_over(crawl, out, tmp_path, capsys):
    changed = "substring_dedup.min_words=20"
    build_options = {"crawl": crawl, "out": tmp_path / "again"}
    run(*build_options.values(), changed, reuse=out)
    run(crawl, tmp_path / "fresh", changed)
    assert bytes_of(tmp_path / "again") == bytes_of(tmp_path / "fresh")
    inodes = {(folder / "steps/line_dedup/documents/part-00000.parquet").stat().st_ino
              for folder in (out, tmp_path / "again")}  # fmt: skip
    assert len(inodes) == 1
    without = ("line_dedup=null", "substring_dedup=null")
    plain = run(crawl, tmp_path / "plain", *without, reuse=out)
    assert plain.totals.kept == 13
    assert not (tmp_path / "plain/steps/line_dedup").exists()
    again = run(crawl, tmp_path / "plain2", *without, "tokenize.tokens_per_shard=1000", reuse=tmp_path / "plain")
    assert dataclasses.replace(again.totals, tokens=0) == dataclasses.replace(plain.totals, tokens=0)
    assert [check.problems for check in verify(tmp_path / "plain2") if not check.ok] == []


def test_a_page_can_be_taken_down_afterwards(out, tmp_path):
    remove(out, tmp_path / "less", Takedown(domains=frozenset({"a.example"})))
    assert [check.problems for check in verify(tmp_path / "less") if not check.ok] == []
    assert len(Ledger(tmp_path / "less", "substring_dedup").committed()) == 2
