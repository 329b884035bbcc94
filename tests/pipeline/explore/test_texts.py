"""Where the text of a row is found: in the row, in a step before, or nowhere."""

import pytest
from run_records import write_part

from pipeline.explore.folder import Folder
from pipeline.explore.texts import dropped_text, excerpts, kept_text, measured


def row(name, offset=0, **fields):
    return {"id": name, "warc_path": "a.warc.gz", "warc_offset": offset, "text": None, **fields}


@pytest.fixture
def folder(tmp_path):
    """Two documents of one id, which entered step 2 and were dropped there or later."""
    for step in ("extract", "filter"):
        rows = [row("x", 0, text=f"{step} first"), row("x", 99, text=f"{step} second")]
        write_part(tmp_path / f"steps/{step}/documents", "00000", rows[: 2 if step == "extract" else 1])
    return Folder(tmp_path)


def test_a_text_stored_with_the_row_wins(folder):
    found = dropped_text(folder, "filter-00000", row("x", text=""))
    assert (found.text, found.of) == ("", "stored with the row (run.dropped_text)")


def test_the_step_before_has_the_text_of_the_same_place(folder):
    found = dropped_text(folder, "filter-00000", row("x", 99))
    assert (found.text, found.of, found.row["warc_offset"]) == ("extract second", "as step extract left it", 99)
    assert dropped_text(folder, "dedup-00000", row("x", 0)).text == "filter first"
    assert dropped_text(folder, "dedup-00000", row("x", 99)) is None  # the filter had dropped it


@pytest.mark.parametrize("part", ["extract-00000", "filter-00001", "nothing-00000"])
def test_where_no_step_before_has_the_part_there_is_no_text(folder, part):
    assert dropped_text(folder, part, row("x")) is None


def test_a_kept_document_has_the_text_that_deduplication_saw_while_it_is_there(folder):
    shown = row("x", text="as kept")
    assert kept_text(folder, "00000", shown) == "as kept"
    write_part(folder.out / "steps/dedup/documents", "00000", [row("x", text="as deduplicated")])
    assert kept_text(folder, "00000", shown) == "as deduplicated"
    assert kept_text(folder, "00000", row("x", 5, text="another place")) == "another place"
    assert kept_text(folder, "00001", row("x")) == ""


def test_only_drops_of_the_filter_have_stored_signals(folder):
    signals = {"c4": {"sentences": 2.0}}
    write_part(
        folder.out / "steps/filter/measured", "filter-00000", [row("x", signals=signals), row("y", signals=None)]
    )
    assert measured(folder, "filter-00000", row("x")) == signals
    assert measured(folder, "filter-00000", row("y")) == {}
    assert measured(folder, "filter-00001", row("x")) == {}
    assert measured(folder, "dedup-00000", row("x")) == {}


def test_an_excerpt_is_the_beginning_on_one_line(folder):
    texts = ["  one\n\ntwo ", "word " * 100, None]
    write_part(folder.out / "documents", "00000", [row(str(n), text=text) for n, text in enumerate(texts)])
    found = excerpts(folder, "documents", [("00000", n) for n in (2, 0, 1)])
    assert found == {("00000", 0): "one two", ("00000", 1): "word " * 30, ("00000", 2): ""}
