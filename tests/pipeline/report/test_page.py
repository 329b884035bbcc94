"""The report of a run: its numbers are those of the run, and what pages say is shown, never run."""

from pathlib import Path

import pytest
from rich.console import Console
from warc_pages import Page, article, write_warc

from pipeline.config import load_config
from pipeline.contract.run import RunRecord
from pipeline.flow import build
from pipeline.report.cluster_listing import print_clusters
from pipeline.report.clusters import find_clusters
from pipeline.report.collect import cluster_sizes, collect
from pipeline.report.page import page, render, write_clusters_page

EVIL = "https://evil.example/<script>alert(1)</script>"


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    pages = [Page(url=f"https://a.example/{n}", html=article(n)) for n in range(4)]
    pages += [Page(url=EVIL, html=article(2), date="2024-02-01T00:00:00Z"), Page(url="https://b.example/x", html="")]
    write_warc(folder / "a.warc.gz", pages)
    (folder / "c.yaml").write_text(
        "extract: [main_text: {engine: resiliparse}]\ndedup: {scope: global}\nrun: {isolate: false}\n"
        "tokenize: {train_tokenizer: {vocabulary_size: 300}}\n"
    )
    config = load_config(folder / "c.yaml", inputs=[f"{folder}/a.warc.gz"], output=str(folder / "out"), local=True)
    build(config, quiet=True)
    return folder / "out"


def test_what_is_gathered_adds_up_to_the_run(out):
    record = RunRecord.read(out)
    data = collect(out, record)
    assert [(step.name, step.read, step.kept) for step in data.funnel] == [
        ("extract", 6, 5), ("filter", 5, 5), ("dedup", 5, 4), ("tokenize", 4, 4),
    ]  # fmt: skip
    assert {reason.name: reason.documents for reason in data.reasons} == dict(record.totals.dropped)
    assert data.domains == [("a.example", 4)] and not data.partial
    assert data.clusters[:2] == [("1", 3), ("2", 1)] and sum(number for _, number in data.clusters) == 4
    assert data.taken_out == []
    assert "compared with each other" in data.scope and len(data.samples) == 4


def test_the_page_escapes_what_strangers_wrote_and_has_no_script(out):
    text = page(collect(out, RunRecord.read(out)))
    assert "<script" not in text and "default-src 'none'" in text
    assert "&lt;script&gt;alert(1)" in text
    path = render(out, RunRecord.read(out))
    assert path == out / "report.html" and path.read_text() == text


def test_clusters_are_shown_on_a_page_and_on_a_terminal(out, tmp_path, capsys):
    found = find_clusters(out)
    write_clusters_page(tmp_path / "clusters.html", out, found)
    assert "https://a.example/2" in (tmp_path / "clusters.html").read_text()
    print_clusters(found, Console(width=120), 1)
    shown = capsys.readouterr().out
    assert "1 clusters of two documents or more; removed: 1 exact_duplicate" in shown
    assert "1. 2 documents; kept https://a.example/2" in shown


def test_sizes_of_clusters_come_in_ranges():
    assert cluster_sizes([(1, 5), (2, 1), (9, 2), (1000, 1)]) == [
        ("1", 5), ("2", 1), ("3-4", 0), ("5-9", 2), ("10-99", 0), ("100-999", 0), ("1,000+", 1),
    ]  # fmt: skip
    assert cluster_sizes([(3, 1)])[0] == ("2", 0)  # none stands alone
