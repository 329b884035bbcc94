"""Builds with a stage that is broken: they stop early and name it, instead of quarantining page after page."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from broken import NoCall

from pipeline.config import PipelineConfig, load_config
from pipeline.contract.errors import ConfigError, StageError
from pipeline.contract.run import RunRecord
from pipeline.engine.isolation import end_idle
from pipeline.engine.ledger import Ledger
from pipeline.engine.settings import RunSettings
from pipeline.flow import build
from pipeline.stages.main_text import MainText
from pipeline.tokens.bpe_training import train_tokenizer

CONFIG = "dedup: null\ntokenize: {{tokenizer: {}/tokenizer.json}}\nrun: {{local: true, isolate: false}}\n"
GO_ON = "run.max_quarantined=null"


def files(folder: Path, *pages: list[bool]) -> None:
    """An input for each list, with a page for each item: whether the stage is to fail on it; config and tokenizer."""
    number = 0
    for name, given in enumerate(pages):
        with (folder / f"{name:03d}.jsonl").open("w") as sink:
            for fails in given:
                text = f"Page {number} of this site. {'It must fail here.' if fails else 'It is as good as any.'}"
                sink.write(json.dumps({"url": f"https://site.example/{number}", "text": text}) + "\n")
                number += 1
    (folder / "build.yaml").write_text(CONFIG.format(folder))
    train_tokenizer(["Some text."], vocabulary_size=257, path=folder / "tokenizer.json")


def run(folder: Path, *overrides: str, out: str = "out") -> RunRecord:
    config = load_config(folder / "build.yaml", inputs=[f"{folder}/*.jsonl"], output=str(folder / out),
                         overrides=overrides)  # fmt: skip
    return build(config, quiet=True)


def stopped(folder: Path, *overrides: str, out: str = "out") -> str:
    """What a build says that stops because of its stage."""
    with pytest.raises(StageError) as caught:
        run(folder, *overrides, out=out)
    assert RunRecord.read(folder / out).state == "failed"
    return str(caught.value)


@pytest.mark.parametrize("isolate", ["true", "false"])
def test_a_build_stops_in_the_middle_of_a_file(tmp_path, isolate):
    files(tmp_path, [number % 10 == 7 for number in range(1000)])
    message = stopped(tmp_path, "filter=[broken.Raises]", f"run.isolate={isolate}")
    assert message.startswith(
        "filter: stage broken.Raises: 20 of 200 pages failed, more than run.max_quarantined (0.05) allows\n"
        "  first on https://site.example/7\n  Traceback (most recent call last):\n    File "
    )
    lines = message.splitlines()
    assert lines[3].endswith('broken.py", line 15, in __call__')
    assert lines[-3:] == [
        "  ZeroDivisionError: a page said no",
        "  Page 7 of this site. It must fail here.",
        "  fix the stage and build into a new --output; --set run.max_quarantined=null quarantines them and goes on",
    ]
    assert Ledger(tmp_path / "out", "filter").committed() == {}
    end_idle()
    assert not [child for child in psutil.Process().children() if "page_process" in " ".join(child.cmdline())]


def test_many_small_files_are_counted_together(tmp_path):
    files(tmp_path, *([number == 3 for number in range(15)] for _ in range(20)))
    message = stopped(tmp_path, "extract=[broken.Raises]")
    assert "extract: stage broken.Raises: 14 of 210 pages failed" in message
    assert "first on https://site.example/3\n" in message
    assert len(Ledger(tmp_path / "out", "extract").committed()) == 14
    assert stopped(tmp_path, "extract=[broken.Raises]") == message
    record = run(tmp_path, "extract=[broken.Raises]", GO_ON)
    assert (record.state, record.totals.kept, record.totals.quarantined) == ("done", 280, 20)


def test_a_share_below_the_limit_costs_the_pages_alone(tmp_path):
    files(tmp_path, [number % 30 == 7 for number in range(300)])
    assert run(tmp_path, "filter=[broken.Raises]").totals.quarantined == 10
    strict = stopped(tmp_path, "filter=[broken.Raises]", "run.max_quarantined=0.03", out="strict")
    assert "7 of 200 pages failed, more than run.max_quarantined (0.03) allows" in strict


def test_below_two_hundred_pages_a_stage_may_fail_on_some(tmp_path):
    files(tmp_path, [True] * 60 + [False] * 2)
    assert run(tmp_path, "filter=[broken.Raises]").totals.quarantined == 60


@pytest.mark.parametrize("section", ["extract", "filter", "tokenize.stages"])
def test_a_stage_that_fails_on_every_page_fails_the_step(tmp_path, section):
    files(tmp_path, [True] * 2, [True])
    message = stopped(tmp_path, f"{section}=[broken.Raises]")
    step = section.partition(".")[0]
    assert message.startswith(
        f"{step}: stage broken.Raises: 3 of 3 pages failed, which is all of them (run.max_quarantined: 0.05)\n"
        "  first on https://site.example/0\n  Traceback"
    )
    commits = Ledger(tmp_path / "out", step).folder
    before = {path.name: path.stat().st_mtime_ns for path in commits.iterdir()}
    assert len(before) == 2
    assert stopped(tmp_path, f"{section}=[broken.Raises]") == message
    assert {path.name: path.stat().st_mtime_ns for path in commits.iterdir()} == before
    record = run(tmp_path, f"{section}=[broken.Raises]", GO_ON)
    assert (record.state, record.totals.quarantined, record.totals.tokens) == ("done", 3, 0)
    assert {row["cause"].split("\n")[0] for row in pq.read_table(tmp_path / "out/quarantine").to_pylist()} == {
        "error: ZeroDivisionError: a page said no"
    }


def test_pages_count_for_the_stages_that_they_entered(tmp_path):
    """Most pages are dropped before they come to the stage, which fails on all that do."""
    files(tmp_path, [True, False, False], [False, False])
    long = "Page number with a great many words. " * 20 + "It must fail here."
    (tmp_path / "002.jsonl").write_text(json.dumps({"url": "https://site.example/long", "text": long}) + "\n")
    stages = "filter=[{gopher_quality: {min_words: 50, min_stop_words: 0}}, broken.Raises]"
    assert "filter: stage broken.Raises: 1 of 1 pages failed" in stopped(tmp_path, stages)


@pytest.mark.parametrize("value", ["-0.1", "1.5", ".nan", "many", "true"])
def test_the_limit_is_a_share(tmp_path, value):
    files(tmp_path, [])
    with pytest.raises(ConfigError, match="max_quarantined"):
        run(tmp_path, f"run.max_quarantined={value}")
    with pytest.raises(ValueError, match=r"max_quarantined: must be a share of the pages, 0 to 1 \(or null\), got nan"):
        RunSettings(max_quarantined=float("nan"))


def test_what_cannot_be_called_is_refused_before_the_start(tmp_path):
    files(tmp_path, [True])
    with pytest.raises(ConfigError, match=r"build.yaml: filter\[1\]: .*'NoCall' cannot be called: it has no method"):
        run(tmp_path, "filter=[fineweb, {broken.NoCall: {limit: 3}}]")
    with pytest.raises(ValueError, match=r"filter\[0\]: broken.NoCall cannot be called with a document; a stage has"):
        PipelineConfig(filter=(NoCall(),))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"extract\[0\]: main_text is a class; a stage is an instance of one: main_te"):
        PipelineConfig(extract=(MainText,))  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_a_promise_broken_in_a_page_process_is_told_without_a_traceback(tmp_path):
    files(tmp_path, [False] * 3)
    command = [sys.executable, "-m", "pipeline.cli", "build", str(tmp_path / "build.yaml"), "--input",
               f"{tmp_path}/*.jsonl", "--output", str(tmp_path / "out"), "--set", "filter=[broken.Gives]",
               "--set", "run.isolate=true", "--quiet"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "StageError: filter: stage broken.Gives gave None; a stage gives a Document, whose text is a str, or a Drop\n"
        "  on https://site.example/0\n"
        "  give back a changed copy: doc.replace(text=...), doc.with_signals(name, {...})\n"
    )


@pytest.mark.parametrize(("failed", "stops"), [(58, False), (59, True)])
def test_exactly_the_share_that_may_fail_may(tmp_path, failed, stops):
    files(tmp_path, [number < failed for number in range(200)])
    limits = ("filter=[broken.Raises]", "run.max_quarantined=0.29")
    if stops:
        assert "59 of 200 pages failed" in stopped(tmp_path, *limits)
    else:
        assert run(tmp_path, *limits).totals.quarantined == failed


@pytest.mark.parametrize("how", ["KeyboardInterrupt", "GeneratorExit", "SystemExit", "Speechless"])
def test_whatever_a_stage_raises_costs_its_page_alone(tmp_path, how):
    files(tmp_path, [number == 3 for number in range(6)])
    record = run(tmp_path, f"filter=[{{broken.Ends: {{how: {how}}}}}]", "run.isolate=true")
    assert (record.totals.kept, record.totals.quarantined) == (5, 1)
    [row] = pq.read_table(tmp_path / "out" / "quarantine").to_pylist()
    assert row["cause"].startswith(f"error: {how}")


@pytest.mark.parametrize("how", ["SystemExit", "ValueError"])
def test_a_stage_that_cannot_prepare_itself_is_named(tmp_path, how):
    files(tmp_path, [False])
    with pytest.raises(StageError, match=f"stage broken.Ends cannot prepare itself:\n  Traceback(.|\n)*{how}"):
        run(tmp_path, f"filter=[{{broken.Ends: {{how: {how}, before: true}}}}]")
