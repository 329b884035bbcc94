"""A finished run is looked at from another folder than it was built in, and where its inputs are gone or moved."""

import contextlib
import functools
import hashlib
import http.server
import json
import os
import shutil
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner
from warc_pages import Page, article, warc_member, write_warc

from pipeline.cli.main import app
from pipeline.config import load_config
from pipeline.contract.errors import ConfigError
from pipeline.contract.run import InputFile, RunRecord
from pipeline.explore.rerun import rerun
from pipeline.flow import build
from pipeline.report.clusters import find_clusters
from pipeline.sources.reopen import UnreachableInput, locate_input
from pipeline.tools.replay import replay
from pipeline.tools.sweep import sweep
from pipeline.tools.verify import Check, verify

QUESTION = "A miller grinds seven sacks of wheat before noon and twelve more after it, how many sacks?"
CONFIG = """
extract:
- payload_digest: {scope: run}
- main_text: {engine: resiliparse}
filter:
- gopher_quality: {min_words: 3, min_stop_words: null, min_alphabetic_words: null}
- decontaminate: {benchmarks: [given/mill.jsonl], max_overlap: null}
dedup: {scope: global}
tokenize: {train_tokenizer: {vocabulary_size: 300}}
run: {isolate: false}
"""
POINTERS, COPIES = "pointers lead to their records", "copies are copies of pages that went on"
EARLIER = "previous runs have what was dropped for them"


def in_folder(folder: Path, name: str, inputs: list[str], *overrides: str) -> Path:
    """A build from within `folder`, every path relative to it."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        build(load_config("c.yaml", inputs=inputs, output=name, local=True, overrides=overrides), quiet=True)
    finally:
        os.chdir(before)
    return folder / name


def make(folder: Path) -> Path:
    """A first run of a WARC file and a run of rows and another WARC file that is compared with it."""
    given = folder / "given"
    given.mkdir(parents=True)
    write_warc(given / "a.warc.gz", [Page(url=f"https://a.example/{i}", html=article(i)) for i in (1, 2)])
    pages = [Page(url=f"https://b.example/{i}", html=article(i)) for i in (1, 3, 3, 4)]
    pages[2] = Page(url="https://b.example/copy", html=article(3))
    near = article(2).replace("</main>", "<p>One more sentence stands here.</p></main>")
    pages.append(Page(url="https://b.example/near", html=near))
    damaged = bytearray(warc_member(Page(url="https://b.example/damaged", html=article(7))))
    damaged[-6] ^= 1  # its checksum
    write_warc(given / "b.warc.gz", pages)
    with (given / "b.warc.gz").open("ab") as sink:
        sink.write(bytes(damaged))
    (given / "rows.jsonl").write_text("".join(json.dumps({"text": f"The row of number {i}"}) + "\n" for i in range(4)))
    (given / "mill.jsonl").write_text(json.dumps({"id": "mill", "query": QUESTION}) + "\n", encoding="utf-8")
    (folder / "c.yaml").write_text(CONFIG)
    in_folder(folder, "first", ["given/a.warc.gz"])
    in_folder(folder, "out", ["given/b.warc.gz", "./given/../given/rows.jsonl"], "dedup.previous_runs=[first]")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("elsewhere") / "here")


@pytest.fixture
def moved(made, tmp_path) -> Path:
    """A copy whose absolute paths all lead to where nothing is any more."""
    shutil.copytree(made, tmp_path / "moved")
    text = (made / "out/run.json").read_text()
    record = RunRecord.read(made / "out")
    assert str(made.resolve()) in text
    (tmp_path / "moved/out/run.json").write_text(text.replace(str(made.resolve()), str(tmp_path / "gone")))
    changed = RunRecord.read(tmp_path / "moved/out")
    changed.write(tmp_path / "moved/out")
    assert changed.fingerprint == record.fingerprint
    return tmp_path / "moved"


def checks(out: Path) -> dict[str, Check]:
    return {check.name: check for check in verify(out)}


def problems(out: Path) -> list[str]:
    return [f"{check.name}: {problem}" for check in verify(out) for problem in check.problems]


def test_run_json_says_where_everything_was(made):
    record = RunRecord.read(made / "out")
    given = made.resolve() / "given"
    assert [(item.path, item.absolute) for item in record.inputs] == [
        ("./given/../given/rows.jsonl", f"{given}/rows.jsonl"),
        ("given/b.warc.gz", f"{given}/b.warc.gz"),
    ]
    assert record.places == {"given/mill.jsonl": f"{given}/mill.jsonl", "first": str(made.resolve() / "first")}


def test_everything_holds_from_elsewhere(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = checks(made / "out")
    assert [check.problems for check in found.values() if not check.ok] == []
    assert not [check.looked_at for check in found.values() if "cannot be reached" in check.looked_at]
    assert found[COPIES].looked_at.startswith("1 copies") and "1 compared" in found[COPIES].looked_at
    assert found[EARLIER].looked_at == "2 documents of previous runs"
    [page] = replay(made / "out")
    assert (page.now.stage, page.now.outcome) == ("read", "quarantined") and page.now.cause.startswith("corrupt_member")
    assert sweep(made / "out", ["filter.gopher_quality.min_words=3,99999"]).settings[1].documents == 0
    clusters = find_clusters(made / "out")
    assert (clusters.for_previous_runs, clusters.precision.compared) == (2, 1)


def test_a_file_of_the_same_name_elsewhere_is_not_taken_for_the_input(moved, tmp_path, monkeypatch):
    (tmp_path / "cwd/given").mkdir(parents=True)
    write_warc(tmp_path / "cwd/given/b.warc.gz", [Page(url="https://other.example/", html=article(9))])
    (tmp_path / "cwd/given/rows.jsonl").write_text('{"text": "other"}\n')
    (tmp_path / "cwd/first").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    assert problems(moved / "out") == []


def test_a_folder_that_was_moved_as_a_whole_is_read_from_within(moved, monkeypatch):
    monkeypatch.chdir(moved)
    found = checks(moved / "out")
    assert [check.problems for check in found.values() if not check.ok] == []
    assert not [check.looked_at for check in found.values() if "cannot be reached" in check.looked_at]
    assert [page.now.outcome for page in replay(moved / "out")] == ["quarantined"]


def test_inputs_that_are_gone_are_a_note(moved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, ["verify", str(moved / "out")])
    assert shown.exit_code == 0, shown.output
    [line] = [line for line in shown.output.splitlines() if POINTERS in line]
    assert "0 documents read again" in line and "2 inputs cannot be reached" in line
    assert f"given/b.warc.gz ({tmp_path}/gone/given/b.warc.gz does not exist)" in line
    assert "no longer there: first" in checks(moved / "out")[EARLIER].looked_at
    (tmp_path / "gone/given").mkdir(parents=True)
    shutil.copy(moved / "given/mill.jsonl", tmp_path / "gone/given")  # without it the stages could not be made
    [page] = replay(moved / "out")
    assert page.now.outcome == "unreachable" and "given/b.warc.gz" in page.now.cause
    replayed = CliRunner().invoke(app, ["replay", str(moved / "out")])
    assert replayed.exit_code == 0
    assert replayed.output.splitlines()[-1] == "1 pages tried again, 0 passed, 1 whose input cannot be reached"


@pytest.mark.parametrize(
    ("absolute", "reason"),
    [
        ("/none/a.warc.gz", "/none/a.warc.gz does not exist"),
        ("/tmp", "/tmp cannot be read: Is a directory"),
        (f"/{'x' * 300}/a.warc.gz", "File name too long"),
    ],
)
def test_why_an_input_cannot_be_reached(absolute, reason):
    with pytest.raises(UnreachableInput, match=f"cannot be reached .*{reason}"):
        locate_input(InputFile(path="a.warc.gz", absolute=absolute))


def test_an_input_that_is_there_and_another_fails(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = (made / "given/b.warc.gz").read_bytes()
    write_warc(made / "given/b.warc.gz", [Page(url="https://other.example/", html=article(9))])
    try:
        shown = CliRunner().invoke(app, ["verify", str(made / "out")])
    finally:
        (made / "given/b.warc.gz").write_bytes(kept)
    assert shown.exit_code == 1 and f"FAIL {POINTERS}" in shown.output


def test_a_page_is_read_again_from_elsewhere(made, moved, tmp_path, monkeypatch):
    import pyarrow.parquet as pq

    monkeypatch.chdir(tmp_path)
    rows = pq.read_table(made / "out/dropped").to_pylist()
    [row] = [row for row in rows if row["url"] == "https://b.example/copy"]
    assert len(rerun(RunRecord.read(made / "out"), row).text) > 100
    problem = rerun(RunRecord.read(moved / "out"), row).problem
    assert "given/b.warc.gz" in problem and "cannot be reached" in problem


def test_neither_bytes_nor_fingerprint_depend_on_the_place(made, tmp_path):
    def digests(out: Path) -> dict[str, str]:
        return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
                for folder in ("documents", "dropped", "quarantine", "tokens", "contamination")
                for path in sorted((out / folder).iterdir())}  # fmt: skip

    there = make(tmp_path / "there")
    assert digests(there / "out") == digests(made / "out")
    one, other = RunRecord.read(made / "out"), RunRecord.read(there / "out")
    assert one.fingerprint == other.fingerprint and one.places != other.places


def test_remote_inputs_have_no_place_and_may_be_out_of_reach(made, tmp_path):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(made / "given"))
    handler.func.log_message = lambda *_: None  # type: ignore[method-assign]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/a.warc.gz"
    (tmp_path / "c.yaml").write_text(CONFIG.replace("given/", f"{made}/given/"))
    out = in_folder(tmp_path, "out", [address], "run.remote={attempts: 2, first_wait: 0.01}")
    try:
        assert RunRecord.read(out).inputs[0].absolute is None
        assert checks(out)[POINTERS].looked_at == "2 documents read again"
    finally:
        server.shutdown()
        server.server_close()
    found = checks(out)[POINTERS]
    assert found.ok and "0 documents read again; 1 input cannot be reached: http://127.0.0.1" in found.looked_at


def test_a_file_of_the_same_name_size_and_time_in_another_folder_is_another_input(tmp_path):
    """Its SHA-256 was taken from the earlier run, and --reuse gave that one's texts."""
    config = "input: {format: jsonl}\ndedup: null\ntokenize: {train_tokenizer: {vocabulary_size: 300}}\n"
    for name, word in (("first", "wheat"), ("second", "flour")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "c.yaml").write_text(config)
        (tmp_path / name / "a.jsonl").write_text(
            json.dumps({"id": "1", "text": f"Ten sacks of {word} and no more. " * 9})
        )
        os.utime(tmp_path / name / "a.jsonl", ns=(1, 1))
    old = in_folder(tmp_path / "first", "out", ["a.jsonl"])
    with contextlib.chdir(tmp_path / "second"), pytest.raises(ConfigError, match=r"input a\.jsonl has changed"):
        build(load_config("c.yaml", inputs=["a.jsonl"], output="out", local=True), quiet=True, reuse=old)
