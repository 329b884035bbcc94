"""Duplicates kept, or made up for: whole builds that keep all, and that repeat what is kept."""

import collections
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from warc_pages import Page, article, write_warc

from pipeline.config import load_config
from pipeline.contract.errors import ConfigError
from pipeline.contract.run import RunRecord
from pipeline.contract.shards import open_shards
from pipeline.flow import build
from pipeline.tools.remove import Takedown, remove
from pipeline.tools.trace import trace_position, trace_url
from pipeline.tools.verify import verify

CONFIG = """
extract: [{main_text: {engine: resiliparse}}]
tokenize: {train_tokenizer: {vocabulary_size: 400}, tokens_per_shard: 3000}
"""
SIZES = {0: 1, 1: 2, 2: 4, 3: 5}
"""Article -> pages that show it."""


@pytest.fixture(scope="module")
def crawl(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("rehydrate")
    pages = [
        Page(url=f"https://{copy}.example/{number}", html=article(number), date=f"2024-01-0{copy + 1}T00:00:00Z")
        for number, size in SIZES.items()
        for copy in range(size)
    ]
    write_warc(folder / "a.warc.gz", pages)
    (folder / "build.yaml").write_text(CONFIG)
    return folder


def run(crawl: Path, out: Path, *overrides: str) -> RunRecord:
    config = load_config(crawl / "build.yaml", inputs=[f"{crawl}/*.warc.gz"], output=str(out), local=True,
                         overrides=overrides)  # fmt: skip
    return build(config, quiet=True)


def in_shards(out: Path) -> dict[str, int]:
    """How often each page stands in the shards, by its address."""
    shards = open_shards(out, check_hashes=True).shards
    return collections.Counter(url for shard in shards for url in shard.docs()["url"].to_pylist())


@pytest.fixture(scope="module")
def repeated(crawl, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "repeated"
    run(crawl, out, "tokenize.rehydrate={}")
    return out


def test_kept_documents_are_repeated_by_what_they_stand_for(repeated):
    assert in_shards(repeated) == {f"https://0.example/{number}": [1, 2, 3, 5][number] for number in SIZES}
    totals = RunRecord.read(repeated).totals
    assert (totals.read, totals.kept, totals.repeats) == (12, 4, 7)
    rows = pq.read_table(repeated / "documents").to_pylist()
    assert {row["cluster_size"]: row["copies"] for row in rows} == {1: 1, 2: 2, 4: 3, 5: 5}
    assert totals.tokens == sum(row["token_count"] * row["copies"] for row in rows)
    assert open_shards(repeated).manifest.documents == 11
    assert {check.name: check.problems for check in verify(repeated) if not check.ok} == {}
    assert "of 11 documents written, 7 of them repeats" in (repeated / "report.html").read_text()


def test_every_repeat_leads_to_its_page(repeated):
    [found] = trace_url(repeated, "https://0.example/3")
    assert len(found.spans) == found.details["copies"] == 5
    assert len({(span.shard, span.start) for span in found.spans}) == 5
    for span in found.spans:
        assert trace_position(repeated, span.shard, span.start).url == "https://0.example/3"


def test_every_repeat_is_taken_down(repeated, tmp_path):
    done = remove(repeated, tmp_path / "t", Takedown(urls=frozenset({"https://0.example/3"})))
    [before] = trace_url(repeated, "https://0.example/3")
    assert (done.documents, done.tokens) == (1, 5 * before.details["token_count"])
    assert in_shards(tmp_path / "t")["https://0.example/3"] == 0
    assert RunRecord.read(tmp_path / "t").totals.repeats == 3
    assert {check.name: check.problems for check in verify(tmp_path / "t") if not check.ok} == {}


def test_verify_finds_a_repeat_too_few(repeated, tmp_path, crawl):
    run(crawl, tmp_path / "out", "tokenize.rehydrate={weights: {1: 2}}")
    path = tmp_path / "out/documents/part-00000.parquet"
    table = pq.read_table(path)
    table = table.set_column(table.schema.get_field_index("copies"), "copies", [[3] + [2] * (len(table) - 1)])
    pq.write_table(table.cast(pq.read_schema(path)), path)
    wrong = {check.name for check in verify(tmp_path / "out") if not check.ok}
    assert {"tables say what run.json says", "shards hold the documents"} <= wrong


def test_a_weight_below_one_leaves_some_out_on_record(crawl, tmp_path):
    record = run(crawl, tmp_path / "out", "tokenize.rehydrate={weights: {1: 1, 2: 0, 5: 1.0}}")
    assert in_shards(tmp_path / "out") == {"https://0.example/0": 1, "https://0.example/3": 1}
    assert record.totals.dropped["tokenize.rehydrate.left_out"] == 2
    rows = [row for row in pq.read_table(tmp_path / "out/dropped").to_pylist() if row["stage"] == "rehydrate"]
    assert {(row["value"], row["limit"]) for row in rows} == {(2.0, 0.0), (4.0, 0.0)}
    assert all(check.ok for check in verify(tmp_path / "out"))


def test_all_are_kept_with_the_size_and_name_of_their_cluster(crawl, tmp_path):
    record = run(crawl, tmp_path / "out", "dedup.remove=false")
    assert (record.totals.kept, record.totals.dropped) == (12, {})
    rows = pq.read_table(tmp_path / "out/documents").to_pylist()
    assert {row["url"]: row["cluster_size"] for row in rows} == {
        f"https://{copy}.example/{number}": size for number, size in SIZES.items() for copy in range(size)
    }
    ids = {row["url"]: row["id"] for row in rows}
    assert {row["url"]: row["cluster_id"] for row in rows} == {
        f"https://{copy}.example/{number}": ids[f"https://0.example/{number}"] if size > 1 else None
        for number, size in SIZES.items()
        for copy in range(size)
    }
    assert all(check.ok for check in verify(tmp_path / "out"))


def test_what_keeps_all_is_not_repeated(crawl, tmp_path):
    for dedup in ("dedup=null", "dedup.remove=false"):
        with pytest.raises(ConfigError, match=r"tokenize.rehydrate: repeats the one document that dedup keeps"):
            run(crawl, tmp_path / "out", dedup, "tokenize.rehydrate={}")


def test_the_best_signal_decides_who_stays(crawl, tmp_path):
    """A copy with more around it is kept for its words, though it came later."""
    folder = tmp_path / "crawl"
    folder.mkdir()
    more = article(1).replace("</p>", " And this stands on the later page alone.</p>", 1)
    pages = [Page(url="https://first.example/", html=article(1)),
             Page(url="https://more.example/", html=more, date="2024-02-01T00:00:00Z")]  # fmt: skip
    write_warc(folder / "a.warc.gz", pages)
    (folder / "build.yaml").write_text(CONFIG + "filter: [gopher_quality]\n")
    run(folder, tmp_path / "earliest")
    run(folder, tmp_path / "words", "dedup.keep={best_signal: gopher_quality.words}")
    assert list(in_shards(tmp_path / "earliest")) == ["https://first.example/"]
    assert list(in_shards(tmp_path / "words")) == ["https://more.example/"]
    with pytest.raises(ConfigError) as caught:
        run(folder, tmp_path / "none", "dedup.keep={best_signal: gopher_quality.beauty}")
    assert "gopher_quality.stop_words" in str(caught.value)
    assert not (tmp_path / "none").exists()
