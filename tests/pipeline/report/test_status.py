"""`tokenmill status`: what is there, what is lost, whether anybody is at work."""

import dataclasses
import fcntl
import json
import os

import pytest
from rich.console import Console

from pipeline.config import load_config
from pipeline.contract.run import RunRecord
from pipeline.flow import build
from pipeline.report.status import run_status
from pipeline.report.summary import print_steps


@pytest.fixture
def out(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": f"the text of {name}"}) + "\n")
    (tmp_path / "c.yaml").write_text("dedup: null\ntokenize: {train_tokenizer: {vocabulary_size: 257}}\n")
    out = tmp_path / "out"
    build(load_config(tmp_path / "c.yaml", inputs=[f"{tmp_path}/*.jsonl"], output=str(out), local=True), quiet=True)
    return out


def test_a_finished_run_has_nothing_left(out):
    found = run_status(out)
    assert (found.state, found.inputs) == ("done", 3)
    steps = {step.name: step for step in found.steps}
    assert [step.name for step in found.steps] == ["extract", "filter", "dedup", "tokenize", "shards"]
    assert all(step.committed == step.tasks and step.seconds_left == 0 and not step.lost for step in found.steps)
    assert (steps["extract"].tasks, steps["extract"].read, steps["shards"].tasks) == (3, 3, 1)
    assert steps["extract"].cpu_seconds > 0


def test_what_a_resumed_run_does_again_is_named(out, capsys):
    part = out / "steps/filter/documents/part-00001.parquet"
    part.unlink()  # `dedup: null` gave the file a second name
    part.write_bytes(b"cut short")
    found = run_status(out)
    assert {step.name: step.lost for step in found.steps if step.lost} == {"filter": 1}
    print_steps(found, Console(width=120))
    assert "the next build does them again: 1 of filter" in capsys.readouterr().out


def test_left_tasks_take_as_long_as_those_before(out):
    commits = sorted((out / "steps/extract/commits").glob("*.json"))
    begun = (out / "steps/extract/tasks.json").stat().st_mtime
    commits[2].unlink()
    for after, path in ((5, commits[0]), (20, commits[1])):
        os.utime(path, (begun + after, begun + after))
    dataclasses.replace(RunRecord.read(out), state="running").write(out)
    found = run_status(out)
    extract = next(step for step in found.steps if step.name == "extract")
    assert found.state == "stopped"
    assert (extract.committed, extract.tasks) == (2, 3)
    assert extract.tasks_per_hour == pytest.approx(2 / 20 * 3600, rel=0.01)
    assert extract.seconds_left == pytest.approx(10, rel=0.01)


def test_a_run_that_holds_its_folder_is_running(out):
    dataclasses.replace(RunRecord.read(out), state="running").write(out)
    with (out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run_status(out).state == "running"
    assert run_status(out).state == "stopped"
