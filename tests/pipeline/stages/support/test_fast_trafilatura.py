"""The sped-up trafilatura gives the texts of an untouched one, which runs in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType

from pipeline.stages.support import fast_trafilatura

DIRECT = """
import json, sys, trafilatura
for line in sys.stdin:
    page, focus, comments, tables = json.loads(line)
    text = trafilatura.extract(page, favor_precision=focus == "precision", favor_recall=focus == "recall",
                               include_comments=comments, include_tables=tables, deduplicate=False)
    print(json.dumps(text))
"""

SENTENCE = "The mill at the river grinds the grain of three villages, and has done so for two hundred years. "
PAGES = [
    "",
    "no markup at all",
    "<html></html>",
    f"<html><body><article><h1>Mill</h1><p>{SENTENCE * 5}</p><p>{SENTENCE}</p></article></body></html>",
    f"<html><body><div class='share'>Share</div><div id='content'><p>{SENTENCE * 5}</p><ul><li>one<li>two</ul></div>"
    f"<form><label>Name</label><input type='hidden'><select><option>x</select><textarea>t</textarea></form></html>",
    f"<html><body><form id='aspnetForm'><p>{SENTENCE * 9}</p><label>l</label></form></body></html>",
    f"<html><body><table><tr><td>{SENTENCE}</td><td>{SENTENCE}</td></tr></table><pre>x = {{1}}\n\n  y</pre></html>",
    f"<div id='comments'><p>{SENTENCE}</p></div><div class='entry-content'><p>{SENTENCE * 4}</p></div>",
    f"<?xml version='1.0' encoding='latin-1'?><html><body><p>{SENTENCE * 4}é</p><!-- c --><?pi x?></body></html>",
]
OPTIONS = [("precision", False, True), ("balanced", True, True), ("recall", False, False)]


def untouched(cases: list[tuple[str, str, bool, bool]]) -> list[str | None]:
    lines = "\n".join(json.dumps(case) for case in cases)
    result = subprocess.run([sys.executable, "-c", DIRECT], input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in result.stdout.splitlines()]


def ours(cases: list[tuple[str, str, bool, bool]]) -> list[str | None]:
    return [
        fast_trafilatura.extract(page, focus=focus, comments=comments, tables=tables)  # type: ignore[arg-type]
        for page, focus, comments, tables in cases
    ]


def test_small_pages_under_every_option() -> None:
    cases = [(page, *options) for page in PAGES for options in OPTIONS]
    texts = ours(cases)
    assert texts == untouched(cases)
    assert sum(text is not None for text in texts) >= 15


def test_real_pages(shared_data: Path) -> None:
    pages = []
    for path in sorted((shared_data / "web").glob("*.warc.gz")):
        with path.open("rb") as stream:
            for at, record in enumerate(ArchiveIterator(stream, record_types=WarcRecordType.response)):
                if at % 25 == 0:
                    pages.append(record.reader.read().decode("utf-8", "replace"))
    assert len(pages) == 44
    cases = [(page, *OPTIONS[at % 11 == 0]) for at, page in enumerate(pages)]
    assert ours(cases) == untouched(cases)


def test_a_page_is_extracted_the_same_after_any_other() -> None:
    cases = [(page, "precision", False, True) for page in PAGES]
    assert ours(cases) == ours(cases[::-1])[::-1]


def test_the_class_filters_are_compiled_in_place() -> None:
    """If an update of trafilatura moves its expressions, the speed is gone while every text stays the same."""
    import trafilatura.xpaths as theirs
    from lxml import etree

    fast_trafilatura.extract(PAGES[3], focus="precision", comments=False, tables=True)
    for name in ("BODY_XPATH", "OVERALL_DISCARD_XPATH", "PRECISION_DISCARD_XPATH", "REMOVE_COMMENTS_AND_LISTS_XPATH"):
        assert not any(isinstance(expression, etree.XPath) for expression in getattr(theirs, name)), name


@pytest.mark.slow
def test_every_real_page(shared_data: Path) -> None:
    pages = []
    for path in sorted((shared_data / "web").glob("*.warc.gz")):
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
                pages.append(record.reader.read().decode("utf-8", "replace"))
    cases = [(page, "precision", False, True) for page in pages]
    assert len(cases) == 1015
    assert ours(cases) == untouched(cases)
