"""Exact copies are dropped before extraction, and nothing else changes: not the documents, not their cluster sizes."""

import filecmp
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from warc_pages import Page, article, write_warc

from pipeline.config import load_config
from pipeline.contract.errors import ConfigError
from pipeline.contract.run import RunRecord
from pipeline.dedup.first_copies import partitions_for
from pipeline.flow import build
from pipeline.report.status import run_status
from pipeline.sources.payload import payload_digest
from pipeline.steps.extract import exact_copies
from pipeline.tools.trace import trace_url
from pipeline.tools.verify import verify

CONFIG = """
input: {dump: TEST}
extract:
  - url_filter: {shipped_lists: false, domains: [DOMAINS]}
  - payload_digest: {scope: run}
  - poison.Poison: {}
  - main_text: {engine: resiliparse}
filter: [gopher_quality]
dedup: {minhash: null}
tokenize:
  train_tokenizer: {vocabulary_size: 400}
  tokens_per_shard: 5000
run: {local: true, page_limits: {cpu_seconds: 1.5, wall_seconds: 4, memory: 500_000_000}}
"""
OFF = "extract.payload_digest=null"
SPLIT = "extract.payload_digest.scope=split"
HANG = article(7).replace("<main>", "<main><!-- poison:spin -->")
CRASH = article(8).replace("<main>", "<main><!-- poison:segfault -->")


def page(name: str, seed: int, day: int = 5, **other: str) -> Page:
    fields = {"url": f"https://a.example/{name}", "html": article(seed), "date": f"2024-01-{day:02d}T00:00:00Z"}
    return Page(**(fields | other))


CRAWL = [
    [
        page("late", 1, day=9),
        page("only", 2),
        page("blocked-early", 3, day=1, url="https://blocked.example/early"),
        page("open", 3, day=4),
        page("gone", 1, day=1, status="404 Not Found"),
        page("picture", 1, day=1, content_type="image/png"),
    ],
    [
        page("early", 1, day=2),
        page("tie-b", 4, record_id="00000000-0000-0000-0000-00000000000b"),
        page("tie-a", 4, record_id="00000000-0000-0000-0000-00000000000a"),
        page("latin", 5, content_type="text/html; charset=iso-8859-1"),
        page("utf-8", 5, content_type="text/html; charset=utf8"),
        page("utf8", 5, content_type="text/html; charset=UTF-8", day=6),
        page("late-again", 1, day=9),
    ],
    [page("short", 6, html="<p>short</p>"), page("short-copy", 6, html="<p>short</p>", day=6)],
]
COPIES = {
    "https://a.example/late": "https://a.example/early",
    "https://a.example/late-again": "https://a.example/early",
    "https://a.example/tie-b": "https://a.example/tie-a",
    "https://a.example/utf8": "https://a.example/utf-8",
    "https://a.example/short-copy": "https://a.example/short",
}


def write_crawl(folder: Path, files: list[list[Page]]) -> Path:
    folder.mkdir(exist_ok=True)
    for number, pages in enumerate(files):
        write_warc(folder / f"crawl-{number}.warc.gz", pages)
    (folder / "domains.txt").write_text("blocked.example\n")
    (folder / "build.yaml").write_text(CONFIG.replace("DOMAINS", str(folder / "domains.txt")))
    return folder


@pytest.fixture(scope="module")
def crawl(tmp_path_factory) -> Path:
    return write_crawl(tmp_path_factory.mktemp("crawl"), CRAWL)


def run(crawl: Path, out: Path, *overrides: str) -> RunRecord:
    config = load_config(crawl / "build.yaml", inputs=[f"{crawl}/*.gz"], output=str(out), overrides=overrides)
    return build(config, quiet=True)


@pytest.fixture(scope="module")
def done(crawl, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    run(crawl, out)
    return out


def copies(out: Path) -> dict[str, str]:
    """Address of each copy -> address of the page named in its row."""
    rows = [row for name in ("documents", "dropped", "quarantine")
            for row in pq.read_table(out / name, columns=["id", "url"]).to_pylist()]  # fmt: skip
    urls = {row["id"]: row["url"] for row in rows}
    dropped = pq.read_table(out / "dropped").to_pylist()
    return {row["url"]: urls[row["detail"]] for row in dropped if row["stage"] == "payload_digest"}


def same(one: Path, other: Path, *folders: str) -> bool:
    for folder in folders:
        names = sorted(path.name for path in (one / folder).iterdir() if path.is_file())
        assert names == sorted(path.name for path in (other / folder).iterdir() if path.is_file())
        if filecmp.cmpfiles(one / folder, other / folder, names, shallow=False)[1:] != ([], []):
            return False
    return True


def wrong(out: Path) -> dict[str, tuple[str, ...]]:
    return {check.name: check.problems for check in verify(out) if not check.ok}


def test_the_earliest_of_equal_pages_goes_on_and_the_others_name_it(done):
    assert copies(done) == COPIES
    assert RunRecord.read(done).totals.dropped["extract.payload_digest.copy"] == 5
    assert wrong(done) == {}


def test_the_documents_are_those_of_a_run_without_it(crawl, done, tmp_path):
    run(crawl, tmp_path / "without", OFF)
    sizes = pq.read_table(done / "documents", columns=["url", "cluster_size"]).to_pylist()
    assert {row["url"].rpartition("/")[2]: row["cluster_size"] for row in sizes} == {
        "early": 3, "only": 1, "open": 1, "tie-a": 2, "utf-8": 3,
    }  # fmt: skip
    assert same(done, tmp_path / "without", "documents", "tokens")


def test_workers_and_memory_leave_no_trace(crawl, done, tmp_path, monkeypatch):
    monkeypatch.setattr(exact_copies, "partitions_for", lambda rows, _: partitions_for(rows, 1200))  # 400 bytes a page
    run(crawl, tmp_path / "small")
    assert len(list((tmp_path / "small/steps/extract-firsts/files").iterdir())) == 4
    assert same(done, tmp_path / "small", "documents", "dropped", "tokens", "steps/extract/documents")


@pytest.mark.slow
def test_ray_gives_the_same_bytes(crawl, done, tmp_path):
    run(crawl, tmp_path / "ray", "run.local=false", "run.workers=2")
    assert same(done, tmp_path / "ray", "documents", "dropped", "tokens", "steps/extract/documents")


def test_a_run_that_failed_in_the_step_goes_on(crawl, done, tmp_path, monkeypatch):
    def stop(*_: object) -> None:
        raise RuntimeError("the power went")

    with monkeypatch.context() as patch:
        patch.setattr(exact_copies, "find_firsts", stop)
        with pytest.raises(RuntimeError, match="the power went"):
            run(crawl, tmp_path / "out")
    assert not (tmp_path / "out/steps/extract").exists()
    run(crawl, tmp_path / "out")
    assert same(done, tmp_path / "out", "documents", "dropped", "tokens", "steps/extract-firsts/files")


def test_in_a_split_the_first_of_the_file_stays(crawl, tmp_path):
    run(crawl, tmp_path / "out", SPLIT)
    assert copies(tmp_path / "out") == {
        "https://a.example/late-again": "https://a.example/early",
        "https://a.example/tie-a": "https://a.example/tie-b",
        "https://a.example/utf8": "https://a.example/utf-8",
        "https://a.example/short-copy": "https://a.example/short",
    }
    assert not (tmp_path / "out/steps/extract-payloads").exists()
    assert wrong(tmp_path / "out") == {}


def test_in_a_split_pages_that_must_go_have_no_copies(tmp_path):
    """The blocked, the missing and the one of another type come first; the page after them goes on."""
    pages = [page("1", 1, url="https://blocked.example/1"), page("2", 1, status="404 Not Found"),
             page("3", 1, content_type="image/png"), page("4", 1), page("5", 1, url="https://blocked.example/5"),
             page("6", 1)]  # fmt: skip
    crawl = write_crawl(tmp_path / "crawl", [pages])
    run(crawl, tmp_path / "out", SPLIT)
    assert copies(tmp_path / "out") == {"https://a.example/6": "https://a.example/4"}
    assert RunRecord.read(tmp_path / "out").totals.dropped == {
        "extract.payload_digest.copy": 1, "extract.screen.content_type": 1, "extract.screen.http_status": 1,
        "extract.url_filter.domain": 2,
    }  # fmt: skip


def test_pages_that_collide_are_no_copies(crawl, tmp_path, monkeypatch):
    monkeypatch.setattr(exact_copies, "quick_key", lambda body, charset: b"the same for all")
    run(crawl, tmp_path / "out", SPLIT, "run.isolate=false")
    assert copies(tmp_path / "out") == {  # those of the first page of each file alone
        "https://a.example/late-again": "https://a.example/early",
        "https://a.example/short-copy": "https://a.example/short",
    }
    assert wrong(tmp_path / "out") == {}


@pytest.mark.parametrize("overrides", [(), (SPLIT,)], ids=["run", "split"])
def test_copies_of_pages_that_kill_the_extractor_name_them(tmp_path, overrides):
    """Two deaths, so that a new process has to know the copies of what an earlier one met."""
    first = [("a", 1, article(1)), ("crash", 8, CRASH), ("hang", 7, HANG)]
    pages = [page(f"{name}{again}", seed, day=5 + len(again), html=html)
             for again in ("", "2") for name, seed, html in first]  # fmt: skip
    crawl = write_crawl(tmp_path / "crawl", [pages])
    totals = run(crawl, tmp_path / "out", *overrides).totals
    assert (totals.kept, totals.quarantined, totals.dropped) == (1, 2, {"extract.payload_digest.copy": 3})
    assert copies(tmp_path / "out") == {f"https://a.example/{name}2": f"https://a.example/{name}"
                                        for name in ("a", "crash", "hang")}  # fmt: skip
    quarantined = pq.read_table(tmp_path / "out/quarantine").to_pylist()
    (copy,) = trace_url(tmp_path / "out", "https://a.example/hang2")
    assert copy.details["original_outcome"] == "quarantined: timeout"
    assert {row["url"]: row["cause"] for row in quarantined} == {
        "https://a.example/crash": "crash: SIGSEGV", "https://a.example/hang": "timeout",
    }  # fmt: skip
    assert wrong(tmp_path / "out") == {}


def test_dumps_are_apart(tmp_path):
    folder = tmp_path / "crawl"
    write_crawl(folder, [[page("x", 1)], [page("y", 1)]])
    for number in range(2):
        path = folder / f"CC-MAIN-2024-1{number}.warc.gz"
        (folder / f"crawl-{number}.warc.gz").rename(path)
    run(folder, tmp_path / "apart", "input.dump=''")
    run(folder, tmp_path / "one")
    assert copies(tmp_path / "apart") == {}
    assert len(copies(tmp_path / "one")) == 1


def test_reuse_takes_the_step_over(crawl, done, tmp_path):
    config = load_config(crawl / "build.yaml", inputs=[f"{crawl}/*.gz"], output=str(tmp_path / "out"),
                         overrides=["filter.gopher_quality.min_words=60"])  # fmt: skip
    build(config, quiet=True, reuse=done)
    old, new = (path / "steps/extract-payloads/files/00000" for path in (done, tmp_path / "out"))
    assert old.stat().st_ino == new.stat().st_ino
    assert wrong(tmp_path / "out") == {}


def test_a_digest_is_of_the_body_the_codec_and_the_dump():
    one = payload_digest(b"<p>page</p>", "utf-8", "A")
    assert one == payload_digest(b"<p>page</p>", "UTF8", "A")
    others = [(b"<p>page</p> ", "utf-8", "A"), (b"<p>page</p>", None, "A"), (b"<p>page</p>", "utf-8", "B")]
    assert len({one, *(payload_digest(*other) for other in others)}) == 4


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["dedup=null"], "payload_digest: drops exact copies, and dedup: null keeps them"),
        (["dedup.remove=false"], "dedup.remove: false keeps them"),
        ([SPLIT, "tokenize.rehydrate={}"], "no document knows how many copies it had"),
        (["extract=[payload_digest, url_filter, main_text]"], "put url_filter before it"),
        (["extract=[main_text, payload_digest]"], "put main_text behind it"),
        (["extract=[payload_digest, payload_digest, main_text]"], "stands twice"),
        (["filter=[payload_digest]", "extract=[main_text]"], "can only stand in `extract`"),
        (["extract.payload_digest.scope=all"], "expected one of run, split"),
    ],
)
def test_configs_that_would_lose_pages_are_refused(crawl, overrides, problem):
    with pytest.raises(ConfigError, match=problem):
        load_config(crawl / "build.yaml", overrides=overrides)


def test_a_copy_can_be_traced_to_what_became_of_its_page(done):
    (late,) = trace_url(done, "https://a.example/late")
    assert late.details["original_url"] == "https://a.example/early"
    assert late.details["original_outcome"] == "kept"
    (short,) = trace_url(done, "https://a.example/short-copy")
    assert short.details["original_outcome"] == "dropped: filter.gopher_quality.too_few_words"


def test_verify_finds_a_copy_that_is_none_and_one_whose_page_did_not_go_on(done, tmp_path):
    name = "copies are copies of pages that went on"
    (part,) = (done / "dropped").glob("part-extract-00002.parquet")
    rows = pq.read_table(part).to_pylist()
    for detail, problem in ((documents(done)["only"], "not the bytes of"), ("nobody", "which did not go on")):
        shutil.copytree(done, tmp_path / detail)
        changed = [row | {"detail": detail} if row["stage"] == "payload_digest" else row for row in rows]
        pq.write_table(pa.Table.from_pylist(changed, pq.read_schema(part)), tmp_path / detail / "dropped" / part.name)
        assert [problem in line for line in wrong(tmp_path / detail)[name]] == [True]


def test_status_shows_the_step(done):
    steps = {step.name: (step.committed, step.tasks) for step in run_status(done).steps}
    assert list(steps)[:3] == ["extract-payloads", "extract-firsts", "extract"]
    assert steps["extract-payloads"] == (3, 3)
    assert "extract-payloads" in (done / "report.html").read_text()


def documents(out: Path) -> dict[str, str]:
    """Name of each surviving page -> its id."""
    rows = pq.read_table(out / "documents", columns=["id", "url"]).to_pylist()
    return {row["url"].rpartition("/")[2]: row["id"] for row in rows}
