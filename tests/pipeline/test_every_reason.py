"""Every reason to drop a page is reached, in whole builds, by a page made for it, and by no other page."""

import json
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import reason_pages
from reason_pages import KEPT, QUIZ, Pages
from reasons import drop_literals, reasons_in_code, rules
from warc_pages import write_warc

from pipeline import stages
from pipeline.config import load_config
from pipeline.contract.run import RunRecord
from pipeline.flow import build
from pipeline.tools.remove import Takedown, remove
from pipeline.tools.verify import verify

# Needs a model that is trained first: stages/test_quality_classifier.py has documents on both sides of its limit.
ELSEWHERE = {"quality_classifier.low_score"}
# Needs clusters of certain sizes: test_rehydration.py.
ELSEWHERE |= {"rehydrate.left_out"}
# Need a previous run: steps/dedup/test_previous_runs.py.
ELSEWHERE |= {"previous_runs.exact_duplicate", "previous_runs.near_duplicate"}
CRAWLS: dict[str, tuple[str, Pages]] = {
    "extract": (reason_pages.EXTRACT, reason_pages.extract_pages()),
    "filter": (reason_pages.FILTER, reason_pages.filter_pages()),
    "c4 first": (
        reason_pages.AFTER_C4.replace("STAGE", "gopher_repetition"),
        reason_pages.after_c4_pages("gopher_repetition"),
    ),
    "c4 before fineweb": (
        reason_pages.AFTER_C4.replace("STAGE", "fineweb"),
        reason_pages.after_c4_pages("fineweb"),
    ),
    "later": (reason_pages.LATER, reason_pages.later_pages()),
    "repeated text": (reason_pages.REPEATED, reason_pages.repeated_pages()),
}
TAKEN_DOWN = {
    "tokenize.takedown.domain": "https://www.out.example/story",
    "tokenize.takedown.url": "https://site.example/story",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """Every crawl, built."""
    folder = tmp_path_factory.mktemp("reasons")
    for name, entries in reason_pages.LISTS.items():
        (folder / name).write_text(entries)
    (folder / "quiz.jsonl").write_text(json.dumps({"id": "ferries", "question": QUIZ}) + "\n")
    return {name: run(folder / name, *crawl) for name, crawl in CRAWLS.items()}


def run(folder: Path, config: str, pages: Pages) -> Path:
    """A build of the pages."""
    folder.mkdir()
    (folder / "build.yaml").write_text(config.replace("LISTS", str(folder.parent)))
    write_warc(folder / "pages.warc.gz", [page for group in pages.values() for page in group])
    config_ = load_config(
        folder / "build.yaml", inputs=[str(folder / "pages.warc.gz")], output=str(folder / "out"), local=True
    )
    build(config_, quiet=True)
    return folder / "out"


def outcomes(out: Path) -> dict[str, str]:
    """What became of each page, by its address."""
    dropped = pq.read_table(out / "dropped").to_pylist()
    found = {row["url"]: f"{row['step']}.{row['stage']}.{row['reason']}" for row in dropped}
    return found | {row["url"]: KEPT for row in pq.read_table(out / "documents", columns=["url"]).to_pylist()}


@pytest.mark.parametrize("name", CRAWLS)
def test_each_page_is_dropped_for_the_reason_it_was_made_for(runs, name):
    _, pages = CRAWLS[name]
    assert outcomes(runs[name]) == {page.url: reason for reason, group in pages.items() for page in group}
    totals = RunRecord.read(runs[name]).totals
    counts = Counter({reason: len(group) for reason, group in pages.items()})
    assert totals.kept == counts.pop(KEPT)
    assert totals.dropped == counts
    assert totals.quarantined == 0


def test_the_row_of_a_rule_says_what_was_measured_and_which_limit_it_broke(runs):
    rows = {(row["stage"], row["reason"]): row for row in pq.read_table(runs["filter"] / "dropped").to_pylist()}
    for stage, rule in rules():
        if f"{stage}.{rule.reason}" in ELSEWHERE:
            continue
        value, limit = rows[stage, rule.reason]["value"], rows[stage, rule.reason]["limit"]
        assert limit == getattr(stages.load(stage)(), rule.limit)
        assert value < limit if rule.kind == "at least" else value > limit


def test_takedown(runs, tmp_path):
    takedown = Takedown(domains=frozenset({"out.example"}), urls=frozenset({TAKEN_DOWN["tokenize.takedown.url"]}))
    remove(runs["later"], tmp_path / "out", takedown)
    expected = outcomes(runs["later"]) | {url: reason for reason, url in TAKEN_DOWN.items()}
    assert outcomes(tmp_path / "out") == expected
    assert RunRecord.read(tmp_path / "out").totals.dropped == Counter(
        reason for reason in expected.values() if reason != KEPT
    )
    assert [check.problems for check in verify(tmp_path / "out") if not check.ok] == []


def test_no_reason_in_the_code_is_without_a_page():
    reached = {reason for _, pages in CRAWLS.values() for reason in pages} - {KEPT} | set(TAKEN_DOWN)
    assert {reason.partition(".")[2] for reason in reached} | ELSEWHERE == reasons_in_code()


def test_reasons_are_found_in_source():
    source = 'def f():\n    return Drop("a") or Drop(reason="b", value=1) or Drop(names[0] if names else "c")'
    assert set(drop_literals(source, "stages/datatrove.py")) == {"a", "b", "c"}
    with pytest.raises(AssertionError, match=r"stages/new.py, line 2: the reason is no literal"):
        list(drop_literals(source, "stages/new.py"))
