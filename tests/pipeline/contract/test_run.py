"""`run.json`: written, sealed and read back; files that moved are found, where they are the same."""

import json

import pytest
from run_records import run_record

from pipeline.contract.errors import InputError
from pipeline.contract.manifest import sha256_file, write_json
from pipeline.contract.run import InputFile, Publication, RunRecord, Totals


def test_read_is_kept_dropped_and_quarantined_together():
    totals = Totals(records=12, read=10, kept=6, quarantined=1, dropped={"filter.c4.bad": 2, "dedup.exact.copy": 1})
    assert totals.balanced
    assert not Totals(read=10, kept=6, quarantined=1, dropped={"filter.c4.bad": 2}).balanced


def test_inputs_of_one_content_are_equal_wherever_they_lie():
    here = InputFile(path="a.warc.gz", absolute="/here/a.warc.gz", bytes=3, sha256="0" * 64, modified=1)
    there = InputFile(path="a.warc.gz", absolute="/there/a.warc.gz", bytes=3, sha256="0" * 64, modified=2)
    assert here.identity() == there.identity()
    assert here.identity() != InputFile(path="a.warc.gz", bytes=3, sha256="1" * 64).identity()
    assert InputFile(path="s3://a", etag="x").identity() != InputFile(path="s3://a", etag="y").identity()


def test_a_record_reads_back_as_written(tmp_path):
    record = run_record(
        inputs=(InputFile(path="a.warc.gz", bytes=3, sha256="0" * 64),),
        totals=Totals(records=2, read=2, kept=1, tokens=9, dropped={"filter.c4.bad": 1}),
        warnings=("one\ud800", "two"),
    )
    record.write(tmp_path)
    found = RunRecord.read(tmp_path)
    assert (found.inputs, found.totals, found.warnings) == (record.inputs, record.totals, record.warnings)
    assert found.check == found.checksum()


@pytest.mark.parametrize(("state", "names"), [("done", ["report.html", "tokens/manifest.json"]), ("running", [])])
def test_a_finished_run_seals_the_files_that_are_there(tmp_path, state, names):
    (tmp_path / "tokens").mkdir()
    for name in ("report.html", "tokens/manifest.json"):
        (tmp_path / name).write_text(name)
    run_record(state=state).write(tmp_path)
    sealed = RunRecord.read(tmp_path).sealed
    assert sealed == {name: sha256_file(tmp_path / name) for name in names}


def test_a_changed_field_no_longer_fits_the_checksum(tmp_path):
    run_record(seed=1).write(tmp_path)
    tree = json.loads((tmp_path / "run.json").read_text())
    write_json(tmp_path / "run.json", {**tree, "seed": 2})
    found = RunRecord.read(tmp_path)
    assert found.check != found.checksum()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "is not a run folder"),
        ("{", "is not valid JSON"),
        ("[]", "is not a run record"),
        ('{"version": "1"}', "is not a run record: .*versions"),
    ],
)
def test_what_is_no_record_is_refused(tmp_path, content, problem):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(InputError, match=problem):
        RunRecord.read(tmp_path)


def test_the_config_names_files_by_where_they_are(tmp_path):
    (tmp_path / "lists").mkdir()
    for name in ("lists/a.txt", "auto"):
        (tmp_path / name).touch()
    tree = {
        "filter": [{"url_filter": {"domains": ["lists/a.txt", "lists/gone.txt"], "engine": "auto"}}],
        "input": {"paths": ["lists/a.txt"]},
        "run": {"output": "lists/a.txt"},
    }
    places = {name: str(tmp_path / name) for name in ("lists/a.txt", "lists/gone.txt", "auto")}
    assert run_record(config=tree, places=places).located() == {
        **tree,  # inputs and output stay as they were given
        # What is gone stays as given, and a word is no path although there was a file of that name.
        "filter": [{"url_filter": {"domains": [str(tmp_path / "lists/a.txt"), "lists/gone.txt"], "engine": "auto"}}],
    }


def test_an_earlier_run_is_found_where_it_was_or_by_its_name_if_it_is_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old").mkdir()
    run_record(fingerprint="a" * 64).write(tmp_path / "old")
    there = run_record(places={"old": str(tmp_path / "old")})
    moved = run_record(places={"old": "/gone/old"}, files={"old": "a" * 64})
    another = run_record(places={"old": "/gone/old"}, files={"old": "b" * 64})
    assert there.previous_run("old") == tmp_path / "old"
    assert str(moved.previous_run("old")) == "old"
    assert another.previous_run("old") is None
    assert moved.previous_run("nowhere") is None


def test_a_publication_is_read_or_none_or_named_as_damaged(tmp_path):
    assert Publication.read(tmp_path) is None
    (tmp_path / "published.json").write_text('{"fingerprint": "f", "left_out": 3}')
    assert Publication.read(tmp_path) == Publication(fingerprint="f", left_out=3)
    (tmp_path / "published.json").write_text('{"fingerprint": "f", "left_out": "three"}')
    with pytest.raises(InputError, match=r"published\.json: is not the record of a publication: left_out"):
        Publication.read(tmp_path)
