"""What makes two runs the same, and what of a run folder is refused, by name."""

import dataclasses
import hashlib
import json

import pytest
from run_records import run_record

from pipeline.config import load_config
from pipeline.contract.errors import ConfigError
from pipeline.contract.run import InputFile
from pipeline.identity import identify_run, remote_settings
from pipeline.sources.listing import Input, expand

CONFIG = "filter: [{url_filter: {domains: [blocked.txt]}}, gopher_quality]\n"


@pytest.fixture
def crawl(tmp_path, monkeypatch):
    """A folder with a config, the list it names, and one input; the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(CONFIG)
    (tmp_path / "blocked.txt").write_text("blocked.example\n")
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n')
    return tmp_path


def identify(folder, *overrides, out="out", known=()):
    config = load_config(folder / "c.yaml", inputs=["a.jsonl"], overrides=overrides)
    return identify_run(config, folder / out, expand(["a.jsonl"]), known)


def begun(record, out):
    """The folder of a run that has done one task."""
    commits = out / "steps/extract/commits"
    commits.mkdir(parents=True)
    (commits / "00000.json").write_text("{}")
    record.write(out)
    return record


def test_a_new_run_knows_its_inputs_and_files_by_their_content(crawl):
    made = identify(crawl)
    content = (crawl / "a.jsonl").read_bytes()
    [given] = made.inputs
    assert (given.path, given.absolute, given.bytes) == ("a.jsonl", str(crawl / "a.jsonl"), len(content))
    assert given.sha256 == hashlib.sha256(content).hexdigest()
    assert made.files == {"blocked.txt": hashlib.sha256(b"blocked.example\n").hexdigest()}
    assert made.places == {"blocked.txt": str(crawl / "blocked.txt")}
    assert made.state == "running" and not (crawl / "out").exists()


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda folder: identify(folder), True),
        (lambda folder: identify(folder, out="other"), True),
        (lambda folder: identify(folder, "run.workers=3", "run.page_limits.cpu_seconds=9"), True),
        (lambda folder: identify(folder, "seed=1"), False),
        (lambda folder: identify(folder, "filter.gopher_quality.min_words=51"), False),
    ],
)
def test_how_and_where_it_is_run_is_no_part_of_a_run(crawl, change, same):
    assert (identify(crawl).fingerprint == change(crawl).fingerprint) is same


@pytest.mark.parametrize("name", ["blocked.txt", "a.jsonl"])
def test_other_content_under_the_same_name_is_another_run(crawl, name):
    before = identify(crawl).fingerprint
    (crawl / name).write_text((crawl / name).read_text().replace("o", "0"))
    assert identify(crawl).fingerprint != before


def test_a_finished_run_is_given_back_as_it_is_and_one_under_way_goes_on(crawl):
    record = dataclasses.replace(identify(crawl), started="2026-01-01T00:00:00+00:00")
    begun(record, crawl / "out")
    again = identify(crawl)
    assert (again.state, again.started, again.fingerprint) == ("running", record.started, record.fingerprint)
    dataclasses.replace(record, state="done", error="kept").write(crawl / "out")
    assert identify(crawl).error == "kept"


def test_what_changed_is_named(crawl):
    begun(identify(crawl), crawl / "out")
    (crawl / "blocked.txt").write_text("other.example\n")
    (crawl / "a.jsonl").write_text('{"text": "two"}\n')
    with pytest.raises(ConfigError) as caught:
        identify(crawl, "seed=7", "filter.gopher_quality.min_words=51")
    lines = caught.value.problem.split("\n  ")
    assert lines[0] == "holds a run with another config or input; what changed:"
    assert lines[1:3] == ["filter[1].gopher_quality.min_words: 50 -> 51", "seed: 0 -> 7"]
    assert lines[3].startswith("file blocked.txt: ")
    assert lines[4] == "input a.jsonl has changed (16 -> 16 bytes)"
    assert caught.value.hint.startswith("give another --output for the new run, or undo the change")


def test_of_very_many_changes_the_first_are_named(crawl):
    record = identify(crawl)
    inputs = tuple(InputFile(path=f"{n:02}.jsonl", sha256="0" * 64) for n in range(30))
    begun(dataclasses.replace(record, inputs=inputs, fingerprint="0" * 64), crawl / "out")
    with pytest.raises(ConfigError) as caught:
        identify(crawl)
    lines = caught.value.problem.split("\n  ")
    assert len(lines) == 14 and lines[-1] == "... 19 more"  # 30 that are gone and one that is new


def test_a_run_that_ended_before_it_did_anything_is_free_for_another(crawl):
    (crawl / "out").mkdir()
    dataclasses.replace(identify(crawl, out="elsewhere"), state="failed").write(crawl / "out")
    assert identify(crawl, "seed=7").seed == 7


def test_a_folder_that_holds_something_else_is_left_alone(crawl):
    out = crawl / "out"
    (out / "logs").mkdir(parents=True)
    (out / ".lock").touch()
    assert identify(crawl).state == "running"
    (out / "thesis.txt").touch()
    with pytest.raises(ConfigError, match="exists and is no run folder\n  give another --output, or empty it"):
        identify(crawl)
    with pytest.raises(ConfigError, match=r"holds the input a\.jsonl, and is no run folder"):
        identify(crawl, out=".")


def test_a_file_unchanged_since_it_was_read_is_not_read_again(crawl):
    [given] = identify(crawl).inputs
    marked = dataclasses.replace(given, sha256="0" * 64)  # what is not read again keeps what is known
    assert identify(crawl, known=[marked]).inputs == (marked,)
    for changed in ({"modified": 1}, {"bytes": 1}, {"absolute": "/elsewhere/a.jsonl"}, {"path": "b.jsonl"}):
        assert identify(crawl, known=[dataclasses.replace(marked, **changed)]).inputs == (given,)


def test_remote_inputs_are_known_by_their_etag(crawl):
    config = load_config(crawl / "c.yaml")
    remote = Input(path="https://a.example/a.jsonl", bytes=3, etag="x", format="jsonl")
    found = [identify_run(config, crawl / "out", [dataclasses.replace(remote, etag=etag)]) for etag in ("x", "x", "y")]
    assert found[0].inputs == (InputFile(path="https://a.example/a.jsonl", bytes=3, etag="x"),)
    assert found[0].fingerprint == found[1].fingerprint != found[2].fingerprint


def test_keys_of_a_store_are_not_written_down(crawl):
    made = identify(crawl, 'run.remote.options={"anon": true, "region": "eu", "secret": "abc"}')
    assert made.config["run"]["remote"]["options"] == {"anon": True, "region": "eu", "secret": "(not shown)"}
    assert "abc" not in json.dumps(dataclasses.asdict(made))
    assert remote_settings(made, {"key": "k", "region": "us"}).options == {"anon": True, "region": "us", "key": "k"}


def test_settings_of_a_run_without_any_are_the_defaults_and_wrong_ones_are_named():
    assert remote_settings(run_record()).options == {}
    with pytest.raises(ConfigError, match=r"run\.json: config\.run\.remote: "):
        remote_settings(run_record(config={"run": {"remote": {"options": 3}}}))


@pytest.mark.parametrize(
    ("config", "output", "problem"),
    [
        ('input: {paths: ["a\\0b"]}', "out", "NUL character"),
        ("{}", "out\0", "NUL character"),
        ("{}", "out\udcff", "is not UTF-8"),
    ],
)
def test_names_that_no_file_can_have_are_refused(tmp_path, config, output, problem):
    (tmp_path / "c.yaml").write_text(config)
    with pytest.raises(ConfigError, match=problem):
        load_config(tmp_path / "c.yaml", output=output)
