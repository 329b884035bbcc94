"""Damaged files of an unfinished run: the task that wrote one is done again, and the bytes are those of a whole run."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from warc_pages import Page, article, write_warc

from pipeline import flow
from pipeline.config import PipelineConfig, load_config
from pipeline.contract.errors import InputError, TokenmillError
from pipeline.contract.run import RunRecord
from pipeline.engine.ledger import Ledger
from pipeline.flow import build
from pipeline.tools.verify import verify

CONFIG = "extract: [{main_text: {engine: resiliparse}}]\ntokenize: {train_tokenizer: {vocabulary_size: 300}}\n"
PART = "steps/extract/documents/part-00001.parquet"


def load(folder: Path, out: Path) -> PipelineConfig:
    return load_config(folder / "c.yaml", inputs=[f"{folder}/*.warc.gz"], output=str(out), local=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A finished run `out`, and its input."""
    folder = tmp_path_factory.mktemp("damage")
    for number in range(3):
        pages = [Page(url=f"https://{number}.example/{i}", html=article(10 * number + i)) for i in range(5)]
        write_warc(folder / f"{number}.warc.gz", pages)
    (folder / "c.yaml").write_text(CONFIG)
    build(load(folder, folder / "out"), quiet=True)
    return folder


@pytest.fixture
def unfinished(made, tmp_path) -> Path:
    """The same run, stopped before the last step."""
    out = tmp_path / "out"
    shutil.copytree(made / "out", out)
    for gone in ("documents", "tokens", "dropped", "quarantine", "steps/tokenize", "steps/tokenize-shards"):
        shutil.rmtree(out / gone, ignore_errors=True)
    change_record(out, state="running")
    return out


def change_record(out: Path, **fields: object) -> None:
    path = out / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def published(out: Path) -> dict[str, str]:
    files = [path for folder in ("documents", "tokens") for path in (out / folder).rglob("*") if path.is_file()]
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def flip_commit(out: Path) -> None:
    path = out / "steps/extract/commits/00001.json"
    path.write_text(path.read_text().replace('"read": 5', '"read": 4'))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda out: flip(out / PART), f"{PART} is not as it was committed"),
        (lambda out: (out / PART).write_bytes(b"PAR1"), f"{PART} is not as it was committed"),
        (lambda out: (out / PART).write_bytes(b""), f"{PART} is not as it was committed"),
        (lambda out: (out / PART).unlink(), f"{PART} is gone"),
        (flip_commit, "00001.json: has changed since it was written"),
        (lambda out: (out / "steps/filter/commits/00002.json").write_text("{"), "00002.json: is not valid JSON"),
    ],
)
def test_a_resumed_build_makes_a_damaged_file_anew(made, unfinished, capsys, damage, said):
    damage(unfinished)
    record = build(load(made, unfinished), quiet=True)
    assert said in capsys.readouterr().err
    assert record.state == "done"
    assert published(unfinished) == published(made / "out")
    assert [check.name for check in verify(unfinished) if not check.ok] == []


def test_a_file_damaged_while_the_run_is_under_way_is_made_anew(made, tmp_path, monkeypatch, capsys):
    out, filter_run, calls = tmp_path / "out", flow.filter_step.run, []

    def damaged_before(*arguments):
        if not calls:
            (out / PART).write_bytes((out / PART).read_bytes()[:-20])
        calls.append(1)
        return filter_run(*arguments)

    monkeypatch.setattr(flow.filter_step, "run", damaged_before)
    build(load(made, out), quiet=True)
    assert len(calls) == 2
    assert f"{PART} is not as it was committed; the task that wrote it is done again" in capsys.readouterr().err
    assert published(out) == published(made / "out")


def test_commits_of_tasks_that_were_whole_are_left_alone(made, unfinished):
    flip(unfinished / PART)
    before = {key: commit.wall_seconds for key, commit in Ledger(unfinished, "extract").committed().items()}
    build(load(made, unfinished), quiet=True)
    after = {key: commit.wall_seconds for key, commit in Ledger(unfinished, "extract").committed().items()}
    assert [key for key in before if before[key] != after[key]] == ["00001"]


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "content",
    [
        "", "null", "[]", "{}", '{"inputs": 3}', DEEP, '{"inputs": [], "totals": {"read": "many"}}', "\x00\x01",
        '{"inputs": [{"path": 5}], "totals": {}}',
    ],
)  # fmt: skip
def test_a_run_record_that_is_none_is_named(made, unfinished, content):
    (unfinished / "run.json").write_text(content)
    with pytest.raises(InputError, match=r"run\.json: "):
        RunRecord.read(unfinished)
    with pytest.raises(TokenmillError, match=r"run\.json: "):
        build(load(made, unfinished), quiet=True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("totals", []), ("totals", {"read": 1.5}), ("totals", {"dropped": [1]}), ("inputs", {"a": 1}),
        ("state", "finished"), ("state", 5), ("config", 7), ("fingerprint", None), ("files", [1]), ("seed", "x"),
        ("versions", {"python": 3}),
    ],
)  # fmt: skip
def test_a_run_record_with_a_wrong_type_is_named_with_its_key(unfinished, field, value):
    change_record(unfinished, **{field: value})
    with pytest.raises(InputError, match=rf"run\.json: is not a run record: {field}"):
        RunRecord.read(unfinished)


def test_nothing_to_train_a_tokenizer_on_is_told_by_the_config_key(made, tmp_path):
    config = load_config(made / "c.yaml", inputs=[f"{made}/*.warc.gz"], output=str(tmp_path / "out"), local=True,
                         overrides=["screen.max_bytes=10"])  # fmt: skip
    with pytest.raises(InputError, match=r"^tokenize\.train_tokenizer: no document is left to train a tokenizer on"):
        build(config, quiet=True)
    assert not (tmp_path / "out/tokens").exists()
