"""The demo in small: every page written for it, some of the documentation, and each command that `make run` runs."""

import filecmp
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.config import load_config
from pipeline.contract.run import RunRecord
from pipeline.contract.shards import open_shards
from pipeline.crawler.crawl import crawl
from pipeline.flow import build
from pipeline.tools.verify import verify

REPOSITORY = Path(__file__).resolve().parents[1]
DEMO = REPOSITORY / "infra/demo"
CONFIG = REPOSITORY / "configs/pipeline/demo.yaml"
DOCS_PAGES = 90
SMALL = ["tokenize.train_tokenizer.vocabulary_size=2000", "tokenize.tokens_per_shard=20000"]
VILLAGE = "http://village.example"
SECRETS = ("workshop@example.com", "4111 1111 1111 1111", "0532 0130", "219-09-9999", "192.88.99.27", "555 0173")
"""One of each kind, as the written pages have them."""


@pytest.fixture(scope="module", autouse=True)
def in_the_repository() -> Iterator[None]:
    """The demo's configs name files by their place in the repository."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPOSITORY)
        patch.syspath_prepend(str(DEMO))
        yield


@pytest.fixture(scope="module")
def crawled(in_the_repository, tmp_path_factory) -> Path:
    """What `make_crawl.make` leaves, with less of the documentation."""
    import make_crawl

    folder = tmp_path_factory.mktemp("demo")
    with make_crawl.serving() as port:
        make_crawl.visit((make_crawl.VILLAGE_HOST, make_crawl.BLOCKED_HOST), folder / "crawl", "written", port)
        make_crawl.visit((make_crawl.ARCHIVE_HOST,), folder / "archive", "archive", port)
        host = make_crawl.DOCS_HOST
        connect = (f"{host}:80:127.0.0.1:{port}",)
        crawl([f"http://{host}/"], folder / "docs", name="docs", limit=DOCS_PAGES, delay=0, date=make_crawl.DATE,
              connect_to=connect)  # fmt: skip
    (folder / "docs/docs-00000.warc.gz").rename(folder / "crawl/docs-00000.warc.gz")
    make_crawl.damage(folder / "archive/archive-00000", folder / "crawl/damaged.warc.gz")
    return folder


def run(crawled: Path, out: Path, **options: Any) -> Path:
    overrides = [*SMALL, *options.pop("overrides", [])]
    build(
        load_config(CONFIG, inputs=[f"{crawled}/crawl/*.warc.gz"], output=str(out), overrides=overrides, **options),
        quiet=True,
    )
    return out


@pytest.fixture(scope="module")
def built(crawled) -> Path:
    """The crawl under the demo's config, in one process."""
    return run(crawled, crawled / "data", local=True)


@pytest.fixture(scope="module")
def dropped(built) -> dict[str, dict[str, Any]]:
    """Rows of `dropped` by address."""
    return {row["url"]: row for row in pq.read_table(built / "dropped").to_pylist()}


@pytest.fixture(scope="module")
def kept(built) -> dict[str, dict[str, Any]]:
    """Rows of `documents` by address."""
    return {row["url"]: row for row in pq.read_table(built / "documents").to_pylist()}


def reasons(dropped: dict[str, dict[str, Any]], *paths: str) -> set[str]:
    """Why pages of the village left."""
    rows = [dropped[VILLAGE + path] for path in paths]
    return {f"{row['step']}.{row['stage']}.{row['reason']}" for row in rows}


def test_nothing_is_lost(built, dropped, kept):
    totals = RunRecord.read(built).totals
    assert totals.balanced
    assert (totals.kept, sum(totals.dropped.values()), totals.quarantined) == (len(kept), len(dropped), 1)
    assert totals.kept > 40
    assert {check.name: check.problems for check in verify(built) if not check.ok} == {}


def test_answers_that_are_no_page(dropped):
    assert reasons(dropped, "/old/tides.html", "/missing.html") == {"extract.screen.http_status"}
    assert [dropped[VILLAGE + path]["value"] for path in ("/old/tides.html", "/missing.html")] == [301, 404]
    paths = {"/notices.txt": "text/plain", "/weather.json": "application/json", "/crest.png": "image/png",
             "/timetable.pdf": "application/pdf"}  # fmt: skip
    assert reasons(dropped, *paths) == {"extract.screen.content_type"}
    assert {path: dropped[VILLAGE + path]["detail"] for path in paths} == paths
    assert reasons(dropped, "/empty.html") == {"extract.screen.empty_body"}


def test_the_cut_off_page_is_quarantined_and_those_before_it_are_kept(built, kept):
    [row] = pq.read_table(built / "quarantine").to_pylist()
    assert (row["url"], row["cause"]) == ("http://archive.example/archive-school.html", "truncated_member")
    assert {"http://archive.example/archive-ferry.html", "http://archive.example/archive-flood.html"} <= set(kept)


def test_blocked_addresses(dropped):
    blocked = [row for url, row in dropped.items() if "casino.blocked.example" in url]
    assert [(row["stage"], row["reason"], row["detail"]) for row in blocked] == [
        ("url_filter", "domain", "blocked.example")
    ] * 2
    assert reasons(dropped, "/cheap-viagra.html") == {"extract.url_filter.banned_word"}


def test_other_languages_and_old_charsets(dropped, kept):
    found = {
        row["detail"] for row in dropped.values() if row["reason"] == "language_not_kept" and VILLAGE in row["url"]
    }
    assert {"de", "es", "fr", "it", "ja", "nl", "pl", "pt", "ru", "zh"} <= found
    assert {row["language"] for row in kept.values()} == {"en"}


def test_pages_not_worth_reading(dropped):
    assert reasons(dropped, "/boilerplate-lorem.html") == {"filter.c4.lorem_ipsum"}
    assert reasons(dropped, "/boilerplate-teasers.html") == {"filter.gopher_quality.too_many_ellipsis_lines"}
    assert reasons(dropped, "/spam-keywords.html") == {"filter.gopher_repetition.top_2_gram"}
    left = Counter(row["stage"] for row in dropped.values() if row["step"] == "filter")
    assert {"gopher_repetition", "gopher_quality", "c4"} <= set(left)


def test_one_of_each_pair_of_duplicates_is_kept(dropped, kept):
    copies = [(f"/{name}.html", f"/mirror/{name}.html") for name in ("tides", "paper")]
    exact = [(f"/{name}.html", f"/print/{name}.html") for name in ("knots", "north")]
    near = [(f"/{name}.html", f"/last-year/{name}.html") for name in ("rivers", "lighthouse", "bees", "compost")]
    for pairs, reason in (
        (copies, "extract.payload_digest.copy"),
        (exact, "dedup.exact.exact_duplicate"),
        (near, "dedup.minhash.near_duplicate"),
    ):
        for pair in pairs:
            [stays] = [path for path in pair if VILLAGE + path in kept]
            [goes] = set(pair) - {stays}
            assert reasons(dropped, goes) == {reason}
            assert dropped[VILLAGE + goes]["detail"] == kept[VILLAGE + stays]["id"]
            assert kept[VILLAGE + stays]["cluster_size"] == 2


def test_personal_data_of_every_type_is_replaced_and_counted(kept):
    counts: Counter[str] = Counter()
    for path in ("/pii-workshop.html", "/pii-payments.html", "/pii-router.html"):
        counts.update({found["type"]: found["count"] for found in kept[VILLAGE + path]["pii_counts"]})
    assert counts == {
        "CREDIT_CARD": 3,
        "EMAIL_ADDRESS": 4,
        "IBAN_CODE": 2,
        "IP_ADDRESS": 3,
        "PHONE_NUMBER": 3,
        "US_SSN": 2,
    }
    text = "".join(row["text"] for row in kept.values())
    for secret in SECRETS:
        assert secret not in text
    assert "192.168.1.20" in text, "addresses of private networks identify nobody"


def test_the_page_with_a_benchmark_question_is_dropped(dropped):
    overlaps = [url for url, row in dropped.items() if row["reason"] == "benchmark_overlap"]
    assert overlaps == [f"{VILLAGE}/quiz-evening.html"]
    assert dropped[overlaps[0]]["detail"].startswith("benchmark.jsonl stdlib-01: which function of the os.path module")


def test_two_workers_write_the_same_bytes(crawled, built, tmp_path):
    run(crawled, tmp_path / "ray", overrides=["run.workers=2"])
    for folder in ("documents", "dropped", "quarantine", "tokens"):
        names = sorted(path.name for path in (built / folder).iterdir())
        assert names == sorted(path.name for path in (tmp_path / "ray" / folder).iterdir())
        _, differing, odd = filecmp.cmpfiles(built / folder, tmp_path / "ray" / folder, names, shallow=False)
        assert (differing, odd) == ([], [])


@pytest.mark.slow
def test_from_shards_to_an_exported_chat_model(crawled, built, tmp_path):
    import sft_examples

    conversations = tmp_path / "conversations.jsonl"
    conversations.write_text("".join(json.dumps(row) + "\n" for row in sft_examples.conversations(128)))
    model, chat, exported = tmp_path / "model", tmp_path / "chat", tmp_path / "hf"
    tokenmill("train", "configs/training/demo-1m.yaml", "--nproc", "1", *settings(
        data__tokens=built, run__output=model, batch__steps=10, batch__tokens=1024, validation__every=5,
        validation__sequences=4, checkpoint__every=5, run__log_every=1, optimizer__warmup_steps=2))  # fmt: skip
    tokenmill("sft", "configs/training/demo-sft.yaml", "--nproc", "1", *settings(
        init_from=model, data__train=f"[{conversations}]", run__output=chat, batch__epochs=3, batch__rows=4,
        batch__micro_batch_size=4, validation__every=5,
        run__log_every=1, optimizer__warmup_steps=1))  # fmt: skip
    for folder in (model, chat):
        losses = [row["loss"] for row in metrics(folder) if "loss" in row]
        assert losses[-1] < losses[0]
    said = tokenmill("sample", chat, "--chat", "--prompt", "What does `len` do?", "--max-tokens", "8")
    assert said.strip()
    tokenmill("eval", model, "--text", built, "--limit", "2", "--tasks", "benchmark", "--tasks-dir", DEMO,
              "--output", tmp_path / "eval.json")  # fmt: skip
    scores = json.loads((tmp_path / "eval.json").read_text())
    assert 0 < scores["tasks"]["benchmark"]["acc"] < 1
    [measured] = scores["bits_per_byte"].values()
    assert 1 < measured["bits_per_byte"] < 8
    tokenmill("export", chat, exported, "--to", "hf")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in exported.iterdir()}
    assert open_shards(built).manifest.tokenizer.vocabulary_size == 2000


def tokenmill(*arguments: object) -> str:
    """What the command prints; it has to succeed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pipeline.cli", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def settings(**values: object) -> list[str]:
    return [part for name, value in values.items() for part in ("--set", f"{name.replace('__', '.')}={value}")]


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
