"""Step 1: every candidate of an input leaves in exactly one row."""

import pytest
from step_runs import extracted, local_context, rows
from warc_pages import Page, article, write_warc

from pipeline.contract.errors import IntegrityError
from pipeline.contract.run import InputFile
from pipeline.sources.listing import expand
from pipeline.sources.screen import Screen
from pipeline.stages.main_text import MainText
from pipeline.steps.extract.reading import Reading
from pipeline.steps.extract.step import ExtractTask, extract
from pipeline.steps.registry import EXTRACT

STAGES = (MainText(engine="resiliparse"),)
PAGES = [
    Page(url="https://a.example/1", html=article(1)),
    Page(url="https://a.example/gone", html=article(2), status="404 Not Found"),
    Page(url="https://a.example/image", html=b"\x89PNG\r\n\x1a\n" + bytes(50), content_type="image/png"),
    Page(url="https://a.example/empty", html=""),
]


def test_kept_and_dropped_add_up_with_reasons_and_places(tmp_path):
    context = local_context(tmp_path / "out")
    path = write_warc(tmp_path / "a.warc.gz", PAGES)
    commits, [part] = extracted(context, [path], STAGES)
    [commit] = commits.values()
    assert (commit.counts["records"], commit.counts["read"]) == (5, 4)
    kept, dropped = (rows(context.out, commit, folder) for folder in (EXTRACT.folder, "dropped"))
    assert [row["url"] for row in kept] == ["https://a.example/1"] and part.rows == 1
    assert kept[0]["dump"] == "test" and kept[0]["warc_offset"] > 0
    assert {row["url"].rpartition("/")[2]: row["stage"] for row in dropped} == {
        "gone": "screen", "image": "screen", "empty": "screen",
    }  # fmt: skip
    assert all(row["reason"] and row["step"] == "extract" for row in dropped)
    assert commit.notes["input"] == str(path)


def test_an_input_that_changed_since_run_json_named_it_commits_nothing(tmp_path):
    context = local_context(tmp_path / "out")
    path = write_warc(tmp_path / "a.warc.gz", PAGES[:1])
    task = ExtractTask(
        key="00007", input=expand((str(path),))[0], reading=Reading(dump=""), screen=Screen(),
        work=context.stage_work(STAGES), recorded=InputFile(path=str(path), bytes=1, modified=1), copies=None,
    )  # fmt: skip
    with pytest.raises(IntegrityError, match="has changed while the build was under way"):
        extract(task)
    assert not list((tmp_path / "out").rglob("*00007*"))
