"""Whole builds of a small crawl: nothing lost, the same bytes however it is run, refused when it is another run."""

import contextlib
import filecmp
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from warc_pages import Page, article, write_warc

from pipeline.config import load_config
from pipeline.contract.errors import ConfigError, InputError
from pipeline.contract.run import RunRecord
from pipeline.contract.shards import open_shards
from pipeline.flow import build
from pipeline.tools.verify import verify

CONFIG = """
extract:
  - poison.Poison: {}
  - main_text: {engine: resiliparse}
filter: [gopher_quality, gopher_repetition, c4, fineweb]
tokenize:
  stages: [pii]
  train_tokenizer: {vocabulary_size: 500}
  tokens_per_shard: 5000
run: {page_limits: {cpu_seconds: 1.5, wall_seconds: 4, memory: 500_000_000}}
"""
SHORT = "<p>Only twenty words stand on this page, which is fewer than a text of any interest should have got here.</p>"
PUBLISHED = ("documents", "dropped", "quarantine", "tokens")


def site(first: int, number: int) -> list[Page]:
    """Articles, one of them twice (the second a day later, under another address), and pages that must go."""
    pages = [Page(url=f"https://a.example/{first + i}", html=article(first + i)) for i in range(number)]
    pages += [
        Page(url=f"https://b.example/copy-{first}", html=article(first), date="2024-01-02T00:00:00Z"),
        Page(url=f"https://a.example/gone-{first}", html=article(first), status="404 Not Found"),
        Page(url=f"https://a.example/picture-{first}", html=b"\x89PNG\r\n\x1a\n", content_type="image/png"),
        Page(url=f"https://a.example/short-{first}", html=SHORT),
    ]
    return pages


@pytest.fixture(scope="module")
def crawl(tmp_path_factory) -> Path:
    """Three WARC files."""
    folder = tmp_path_factory.mktemp("crawl")
    for number in range(3):
        write_warc(folder / f"crawl-{number}.warc.gz", site(100 * number, 12))
    (folder / "build.yaml").write_text(CONFIG)
    return folder


def run(crawl: Path, out: Path, **options):
    """A build of the crawl into `out`."""
    config = load_config(crawl / "build.yaml", inputs=[f"{crawl}/*.warc.gz"], output=str(out), **options)
    return build(config, quiet=True)


@pytest.fixture(scope="module")
def local(crawl, tmp_path_factory) -> Path:
    """The crawl, built in one process."""
    out = tmp_path_factory.mktemp("runs") / "local"
    run(crawl, out, local=True)
    return out


def assert_same_bytes(one: Path, other: Path) -> None:
    for folder in PUBLISHED:
        names = sorted(path.name for path in (one / folder).iterdir())
        assert names == sorted(path.name for path in (other / folder).iterdir())
        _, differing, odd = filecmp.cmpfiles(one / folder, other / folder, names, shallow=False)
        assert (differing, odd) == ([], []), f"{folder}: {differing} {odd}"


def test_every_record_is_accounted_for(local):
    totals = RunRecord.read(local).totals
    assert (totals.records, totals.read, totals.kept, totals.quarantined) == (51, 48, 36, 0)
    assert totals.dropped == {
        "dedup.exact.exact_duplicate": 3,
        "extract.screen.content_type": 3,
        "extract.screen.http_status": 3,
        "filter.gopher_quality.too_few_words": 3,
    }
    assert totals.balanced


def test_the_earliest_copy_is_kept_and_knows_how_many_it_stands_for(local):
    rows = pq.read_table(local / "documents", columns=["url", "cluster_size"]).to_pylist()
    assert {row["url"]: row["cluster_size"] for row in rows if row["url"].endswith("/100")} == {
        "https://a.example/100": 2
    }
    assert not [row for row in rows if "b.example" in row["url"]]


def test_shards_hold_every_document_once(local):
    shards = open_shards(local, check_hashes=True)
    ids = [name for shard in shards.shards for name in shard.docs()["id"].to_pylist()]
    documents = pq.read_table(local / "documents", columns=["id", "token_count"])
    assert len(shards.shards) > 1
    assert sorted(ids) == sorted(documents["id"].to_pylist())
    assert shards.manifest.tokens == sum(documents["token_count"].to_pylist()) == RunRecord.read(local).totals.tokens


def test_signals_of_dropped_documents_are_kept_too(local):
    rows = [row for path in (local / "steps/filter/measured").iterdir() for row in pq.read_table(path).to_pylist()]
    assert {row["url"] for row in rows} == {f"https://a.example/short-{n}" for n in (0, 100, 200)}
    assert {row["signals"]["gopher_quality"]["words"] for row in rows} == {20.0}


def test_verify_finds_nothing_wrong(local):
    problems = {check.name: check.problems for check in verify(local) if not check.ok}
    assert problems == {}


def test_the_report_needs_no_network(local):
    page = (local / "report.html").read_text()
    assert "48 read = 36 kept + 12 dropped + 0 quarantined" in page
    assert "<script" not in page
    assert "http-equiv" in page


@pytest.mark.parametrize("workers", [1, 2])
def test_ray_writes_the_same_bytes(crawl, local, tmp_path, workers):
    run(crawl, tmp_path / "ray", overrides=[f"run.workers={workers}"])
    assert_same_bytes(local, tmp_path / "ray")


def test_merging_spools_first_changes_no_byte(crawl, local, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.steps.tokenize.shards.MANY", 1)
    monkeypatch.setattr("pipeline.steps.tokenize.shards.GROUP", 2)
    run(crawl, tmp_path / "merged", local=True)
    assert len(list((tmp_path / "merged/steps/spools/files").iterdir())) == 2
    assert_same_bytes(local, tmp_path / "merged")


def test_a_finished_run_is_not_run_again(crawl, local):
    before = (local / "run.json").read_bytes()
    assert run(crawl, local, local=True).state == "done"
    assert (local / "run.json").read_bytes() == before


def start(crawl: Path, out: Path, *options: str) -> subprocess.Popen[bytes]:
    """The build as a command of its own, so that it can be killed."""
    command = [sys.executable, "-m", "pipeline.cli", "build", f"{crawl}/build.yaml", "--input", f"{crawl}/*.warc.gz",
               "--output", str(out), "--quiet", *options]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)


def wait_for_commit(process: subprocess.Popen[bytes], out: Path, step: str) -> None:
    """Return as soon as a task of the step is committed, or the build is over."""
    deadline = time.monotonic() + 120
    while not list(out.glob(f"steps/{step}/commits/*.json")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("after", ["extract", "dedup-edges", "shards"])
def test_a_killed_build_goes_on_to_the_same_bytes(crawl, local, tmp_path, after):
    out = tmp_path / "killed"
    victim = start(crawl, out, "--local")
    try:
        wait_for_commit(victim, out, after)
    finally:
        victim.kill()
        victim.wait()
    committed = {path: path.stat().st_mtime_ns for path in out.glob("steps/*/commits/*.json")}
    run(crawl, out, local=True)
    assert_same_bytes(local, out)
    assert {path: path.stat().st_mtime_ns for path in committed} == committed, "a committed task was run again"


@pytest.mark.slow
def test_a_driver_killed_on_ray_goes_on_to_the_same_bytes(crawl, local, tmp_path):
    out = tmp_path / "killed"
    victim = start(crawl, out, "--set", "run.workers=2")
    try:
        wait_for_commit(victim, out, "extract")
    finally:
        victim.kill()
        victim.wait()
    again = start(crawl, out, "--set", "run.workers=2")
    assert again.wait(timeout=200) == 0
    assert_same_bytes(local, out)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["extract", "sign", "tokenize"])
def test_a_build_survives_its_workers(crawl, local, tmp_path, task):
    out = tmp_path / "workers"
    build = start(crawl, out, "--set", "run.workers=2")
    try:
        killed = _kill_workers(build, f"ray::{task}")
        assert build.wait(timeout=200) == 0
    finally:
        build.kill()
    assert killed
    assert_same_bytes(local, out)


def _kill_workers(build: subprocess.Popen[bytes], title: str) -> int:
    """Kill every Ray worker of the build that is doing such a task, as soon as there is one; how many those were."""
    driver, killed = psutil.Process(build.pid), 0
    while build.poll() is None and not killed:
        time.sleep(0.01)
        for process in driver.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if " ".join(process.cmdline()).startswith(title):
                    process.kill()
                    killed += 1
    return killed


def test_another_config_is_refused_by_name(crawl, local):
    with pytest.raises(ConfigError) as caught:
        run(crawl, local, overrides=["filter.gopher_quality.min_words=30"], local=True)
    assert "filter[0].gopher_quality.min_words: 50 -> 30" in str(caught.value)


def test_a_folder_that_holds_the_named_input_is_no_output(crawl, tmp_path):
    shutil.copy(crawl / "crawl-0.warc.gz", tmp_path / "a.warc.gz")
    config = load_config(crawl / "build.yaml", inputs=[f"{tmp_path}/a.warc.gz"], output=str(tmp_path), local=True)
    with pytest.raises(ConfigError) as error:
        build(config, quiet=True)
    assert error.value.problem == f"holds the input {tmp_path}/a.warc.gz, and is no run folder"
    assert error.value.hint == "give another --output"


def test_how_it_is_run_may_change(crawl, local):
    assert run(crawl, local, overrides=["run.page_limits.cpu_seconds=9"], local=True).state == "done"


def test_another_input_is_refused_by_name(crawl, tmp_path):
    folder = tmp_path / "crawl"
    folder.mkdir()
    (folder / "build.yaml").write_text(CONFIG)
    write_warc(folder / "a.warc.gz", site(0, 3))
    run(folder, tmp_path / "out", local=True)
    write_warc(folder / "a.warc.gz", site(0, 4))
    write_warc(folder / "b.warc.gz", site(5, 1))
    with pytest.raises(ConfigError) as caught:
        run(folder, tmp_path / "out", local=True)
    assert "a.warc.gz has changed" in str(caught.value)
    assert "b.warc.gz is new" in str(caught.value)


def test_a_folder_that_is_no_run_is_left_alone(crawl, tmp_path):
    (tmp_path / "thesis.txt").write_text("important")
    with pytest.raises(ConfigError, match="exists and is no run folder"):
        run(crawl, tmp_path, local=True)
    assert (tmp_path / "thesis.txt").read_text() == "important"


def test_no_input_no_output_no_tokenizer(crawl, tmp_path):
    config = crawl / "build.yaml"
    with pytest.raises(InputError, match=r"nothing"):
        build(load_config(config, inputs=[f"{crawl}/*.nothing"], output=str(tmp_path / "o"), local=True))
    with pytest.raises(ConfigError, match="no run folder is given"):
        build(load_config(config, inputs=[f"{crawl}/*.warc.gz"], local=True))
    with pytest.raises(ConfigError, match="no tokenizer is given"):
        build(load_config(config, inputs=[f"{crawl}/*.warc.gz"], output=str(tmp_path / "o"), local=True,
                          overrides=["tokenize.train_tokenizer=null"]))  # fmt: skip
    assert not (tmp_path / "o").exists()


def test_poisoned_pages_lose_only_themselves(crawl, tmp_path):
    kinds = ["spin", "segfault", "memory", "raise", "sleep"]
    pages = [Page(url=f"https://a.example/{i}", html=article(i)) for i in range(6)]
    for number, kind in enumerate(kinds):
        bad = Page(url=f"https://bad.example/{kind}", html=article(90 + number) + f"<!-- poison:{kind} -->")
        pages.insert(2 * number + 1, bad)
    (tmp_path / "build.yaml").write_text(CONFIG)
    write_warc(tmp_path / "a.warc.gz", pages)
    record = run(tmp_path, tmp_path / "out", local=True)
    assert (record.totals.read, record.totals.kept, record.totals.quarantined) == (11, 6, 5)
    rows = pq.read_table(tmp_path / "out/quarantine").to_pylist()
    assert {row["url"].rpartition("/")[2]: row["cause"] for row in rows} == {
        "spin": "timeout", "sleep": "timeout", "segfault": "crash: SIGSEGV", "memory": "memory",
        "raise": "error: ZeroDivisionError: a page said no",
    }  # fmt: skip
    assert {row["warc_offset"] for row in rows} <= {row["warc_offset"] for row in rows if row["warc_offset"] > 0}
    assert all(check.ok for check in verify(tmp_path / "out"))


def test_an_input_without_pages(tmp_path):
    (tmp_path / "build.yaml").write_text(CONFIG.replace("train_tokenizer: {vocabulary_size: 500}", "tokenizer: t.json"))
    write_warc(tmp_path / "a.warc.gz", [])
    (tmp_path / "b.warc.gz").write_bytes(b"")
    write_warc(tmp_path / "c.warc.gz", site(0, 2))
    out = tmp_path / "first"
    run(
        tmp_path, out, local=True, overrides=["tokenize.train_tokenizer.vocabulary_size=300", "tokenize.tokenizer=null"]
    )
    for path in ("c.warc.gz",):
        (tmp_path / path).unlink()
    record = run(tmp_path, tmp_path / "out", local=True, overrides=[f"tokenize.tokenizer={out}/tokens/tokenizer.json"])
    assert (record.totals.records, record.totals.read, record.totals.tokens) == (1, 0, 0)
    assert open_shards(tmp_path / "out").manifest.documents == 0
    assert all(check.ok for check in verify(tmp_path / "out"))


def test_signals_of_every_step_are_kept(tmp_path):
    (tmp_path / "build.yaml").write_text(
        "extract: [{main_text: {engine: resiliparse}}, {gopher_quality: {}}]\nfilter: [fineweb]\n"
        "tokenize: {stages: [{c4: {min_sentences: 1}}], train_tokenizer: {vocabulary_size: 300}}"
    )
    write_warc(tmp_path / "a.warc.gz", [Page(url="https://a.example/1", html=article(1))])
    run(tmp_path, tmp_path / "out", local=True)
    [signals] = pq.read_table(tmp_path / "out/documents", columns=["signals"])["signals"].to_pylist()
    assert set(signals) == {"gopher_quality", "fineweb", "c4"}
    assert signals["c4"]["sentences"] == 15  # the title is one
    assert signals["gopher_quality"]["words"] > 100


def test_a_quality_stage_may_stand_once(crawl, tmp_path):
    (tmp_path / "build.yaml").write_text("filter: [gopher_quality, {gopher_quality: {min_words: 9}}]")
    with pytest.raises(ConfigError, match="gopher_quality: stands twice"):
        load_config(tmp_path / "build.yaml")
