"""`tokenmill replay`: a page given up, then and now, on the screen and as JSON."""

import json
import re

import pytest
from run_records import run_record, write_part
from typer.testing import CliRunner
from warc_pages import Page, article, write_warc

from pipeline.cli.main import app
from pipeline.config import load_config, resolved_config
from pipeline.contract.errors import InputError
from pipeline.contract.run import InputFile
from pipeline.sources import read_records
from pipeline.sources.record import Record

PLACE = {"step": "filter", "seconds": 1.25, "warc_offset": 0}


def run(*arguments):
    result = CliRunner().invoke(app, ["replay", *map(str, arguments)])
    if result.exception:
        raise result.exception
    return result.output


@pytest.fixture
def out(tmp_path):
    """A run that gave up a page of an input that is there and one of an input that is gone."""
    (tmp_path / "c.yaml").write_text(
        "extract: [{main_text: {engine: resiliparse}}]\nfilter: [{gopher_quality: {min_words: 5}}]\n"
    )
    path = write_warc(tmp_path / "a.warc.gz", [Page(url="https://a.example/1", html=article(1))])
    [record] = [found for found in read_records(str(path)) if isinstance(found, Record) and found.kind == "response"]
    out = tmp_path / "out"
    write_part(out / "quarantine", "filter-00000", [
        {**PLACE, "id": record.id, "url": record.url, "warc_path": str(path), "warc_offset": record.warc_offset,
         "stage": "gopher_quality", "cause": "timeout"},
        {**PLACE, "id": "gone", "url": "https://b.example/", "warc_path": str(tmp_path / "b.warc.gz"), "stage": None,
         "cause": "memory"},
    ])  # fmt: skip
    inputs = tuple(
        InputFile(path=str(tmp_path / name), absolute=str(tmp_path / name)) for name in ("a.warc.gz", "b.warc.gz")
    )
    run_record(config=resolved_config(load_config(tmp_path / "c.yaml")), inputs=inputs).write(out)
    return out


def test_a_page_is_shown_as_it_was_and_as_it_is(out):
    lines = run(out, "--stage", "gopher_quality").splitlines()
    assert lines[0] == "https://a.example/1"
    assert re.fullmatch(r"  \S+ in /.*/a\.warc\.gz at byte \d+", lines[1])
    assert lines[2] == "  then: filter.gopher_quality: timeout after 1.25 s"
    assert lines[3].startswith("  now:  passed, ") and lines[3].endswith(" MiB more memory")
    assert " characters: 'Story number 1 " in lines[4]
    assert lines[5:] == ["1 pages tried again, 1 passed"]


def test_pages_whose_input_is_gone_are_counted_apart(out):
    lines = run(out, "--stage", "filter").splitlines()
    assert "  then: filter: memory after 1.25 s" in lines
    [now] = [line for line in lines if line.startswith("  now:  unreachable")]
    assert "b.warc.gz cannot be reached" in now
    assert lines[-1] == "2 pages tried again, 1 passed, 1 whose input cannot be reached"


def test_json_is_an_object_a_page_and_nothing_else(out):
    found = [json.loads(line) for line in run(out, "--json", "--limit", "1").splitlines()]
    assert [(page["before"]["cause"], page["now"]["outcome"]) for page in found] == [("timeout", "passed")]


def test_nothing_to_replay_and_pages_that_are_not_there(out, tmp_path):
    with pytest.raises(InputError, match="'other' is not in the quarantine"):
        run(out, "--id", "other")
    with pytest.raises(InputError, match="no page was given up in 'extract'") as caught:
        run(out, "--stage", "extract")
    assert caught.value.known == ("filter", "gopher_quality")
    (out / "quarantine/part-filter-00000.parquet").unlink()
    assert run(out) == "no page was quarantined\n"
    assert run(out, "--json") == ""
