"""1,015 real pages through whole builds: every record accounted for, pointers right, texts as good as trafilatura's."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import load_config
from pipeline.contract.run import RunRecord
from pipeline.document import Document
from pipeline.flow import build, read_commits
from pipeline.sources.read import read_at
from pipeline.sources.screen import Screen
from pipeline.tools.verify import verify

REPOSITORY = Path(__file__).resolve().parents[2]
FINEWEB = REPOSITORY / "configs/pipeline/fineweb-en.yaml"
RECORDS = [760, 763, 763, 763]
PAGES = 1015
ALL_TEXTS = "extract: [main_text]\ndedup: null\n"
OUTCOMES = ("documents", "dropped", "quarantine")

DIRECT = """
import json, sys, trafilatura
for line in sys.stdin:
    text = trafilatura.extract(json.loads(line), favor_precision=True, include_comments=False, deduplicate=False)
    print(json.dumps(text or ""))
"""


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def run(config: Path, out: Path, shared: Path, files: str = "*.warc.gz") -> Path:
    """A build of the pages with GPT-2's tokenizer, in one process."""
    tokenizer = shared / "tokenizer/gpt2-tokenizer.json"
    settings = load_config(
        config, inputs=[str(shared / "web" / files)], output=str(out), local=True,
        overrides=[f"tokenize.tokenizer={tokenizer}"],
    )  # fmt: skip
    build(settings, quiet=True)
    return out


@pytest.fixture(scope="module")
def fineweb(shared_data, tmp_path_factory) -> Path:
    """All four files under FineWeb's recipe."""
    return run(FINEWEB, tmp_path_factory.mktemp("real") / "out", shared_data)


def test_every_record_is_accounted_for(fineweb):
    totals = RunRecord.read(fineweb).totals
    extracted = read_commits(fineweb)["extract"]
    assert [extracted[f"{number:05d}"].counts["records"] for number in range(4)] == RECORDS
    assert (totals.records, totals.read) == (sum(RECORDS), PAGES)
    assert totals.kept + sum(totals.dropped.values()) + totals.quarantined == PAGES
    assert (totals.quarantined, totals.gaps) == (0, {})


def test_every_page_has_one_outcome_and_its_pointer_leads_to_its_bytes(fineweb, shared_data):
    pages = {row["url"]: row for row in lines(shared_data / "web/pages.jsonl")}
    columns = ["url", "warc_path", "warc_offset"]
    rows = pa.concat_tables([pq.read_table(fineweb / folder, columns=columns) for folder in OUTCOMES]).to_pylist()
    assert len(pages) == PAGES
    assert sorted(row["url"] for row in rows) == sorted(pages)
    for row in rows:
        page = pages[row["url"]]
        assert (Path(row["warc_path"]).name, row["warc_offset"]) == (page["warc"], page["offset"])
        assert hashlib.sha1(read_at(row["warc_path"], row["warc_offset"]).body).hexdigest() == page["sha1"]


def test_documents_know_the_length_of_their_member(fineweb, shared_data):
    lengths = {row["url"]: row["length"] for row in lines(shared_data / "web/pages.jsonl")}
    for row in pq.read_table(fineweb / "documents", columns=["url", "warc_length"]).to_pylist():
        assert row["warc_length"] == lengths[row["url"]]


def test_what_is_kept_is_english_prose(fineweb, shared_data):
    kept = pq.read_table(fineweb / "documents").to_pylist()
    assert len(kept) > 200
    assert {row["language"] for row in kept} == {"en"}
    assert min(row["language_score"] for row in kept) >= 0.65
    hints = {row["url"]: row["lang_hint"] for row in lines(shared_data / "web/pages.jsonl")}
    assert sum(hints[row["url"]] not in {"en", None} for row in kept) <= 0.02 * len(kept)


def test_verify_finds_nothing_wrong(fineweb):
    assert {check.name: check.problems for check in verify(fineweb, sample=PAGES) if not check.ok} == {}


class Found(NamedTuple):
    """Phrases of gold.jsonl in texts."""

    wanted: int
    unwanted: int


def count(texts: Mapping[str, str], gold: Sequence[Mapping[str, Any]]) -> Found:
    folded = {url: fold(text) for url, text in texts.items()}
    wanted = sum(fold(phrase) in folded[row["url"]] for row in gold for phrase in row["must_have"])
    unwanted = sum(fold(phrase) in folded[row["url"]] for row in gold for phrase in row["must_not_have"])
    return Found(wanted, unwanted)


def fold(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def extracted_directly(pages: Sequence[str]) -> list[str]:
    """The texts of an untouched trafilatura, in a process of its own."""
    sent = "\n".join(map(json.dumps, pages))
    command = [sys.executable, "-c", DIRECT]
    answer = subprocess.run(command, input=sent, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in answer.splitlines()]


@pytest.mark.parametrize(
    "files", ["crawl-00000.warc.gz", pytest.param("crawl-0000[123].warc.gz", marks=pytest.mark.slow)]
)
def test_as_many_gold_phrases_are_found_as_by_trafilatura_called_directly(shared_data, tmp_path, files):
    (tmp_path / "build.yaml").write_text(ALL_TEXTS)
    out = run(tmp_path / "build.yaml", tmp_path / "out", shared_data, files)
    ours = {row["url"]: row["text"] for row in pq.read_table(out / "documents", columns=["url", "text"]).to_pylist()}
    pages = {row["url"]: row for row in lines(shared_data / "web/pages.jsonl")}
    gold = [row for row in lines(shared_data / "web/gold.jsonl") if Path(pages[row["url"]]["warc"]).match(files)]
    html = []
    for row in gold:
        page = Screen()(read_at(str(shared_data / "web" / pages[row["url"]]["warc"]), pages[row["url"]]["offset"]))
        assert isinstance(page, Document)
        html.append(page.html)
    theirs = dict(zip([row["url"] for row in gold], extracted_directly(html), strict=True))
    found = count({url: ours.get(url, "") for url in theirs}, gold)
    assert found == count(theirs, gold)
    assert found.wanted > 0.9 * sum(len(row["must_have"]) for row in gold)
    assert found.unwanted < 0.1 * sum(len(row["must_not_have"]) for row in gold)


@pytest.mark.slow
def test_the_command_of_the_contract(fineweb, shared_data, tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "pipeline.cli"]
    options = ["--input", f"{shared_data}/web/*.warc.gz", "--output", str(tmp_path / "out"),
               "--set", f"tokenize.tokenizer={shared_data}/tokenizer/gpt2-tokenizer.json"]  # fmt: skip
    subprocess.run([*command, "build", str(FINEWEB), *options], env=environment, check=True)
    subprocess.run([*command, "verify", str(tmp_path / "out")], env=environment, check=True)
    assert RunRecord.read(tmp_path / "out").totals == RunRecord.read(fineweb).totals
    for path in [path for folder in (*OUTCOMES, "tokens") for path in (fineweb / folder).iterdir()]:
        assert (tmp_path / "out" / path.relative_to(fineweb)).read_bytes() == path.read_bytes(), path.name
