"""A build that is told to stop: exit 1, one line that says how far it is, nothing left behind, and it goes on."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from warc_pages import Page, article, write_warc

from pipeline.contract.errors import Stopped
from pipeline.engine import stopping
from pipeline.engine.runner import LocalRunner

REPOSITORY = Path(__file__).resolve().parents[3]
CONFIG = """
extract: [{poison.Poison: {}}, {main_text: {engine: resiliparse}}]
tokenize: {train_tokenizer: {vocabulary_size: 300}}
run: {page_limits: {wall_seconds: 600}}
"""


def start(folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipeline.cli", "build", f"{folder}/c.yaml", "--input", f"{folder}/*.warc.gz",
               "--output", f"{folder}/out", *more]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/tests/support"}
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE,
                            text=True)  # fmt: skip


def until(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("number", "more"),
    [(signal.SIGINT, ["--local"]), (signal.SIGTERM, ["--local"]), (signal.SIGTERM, ["--set", "run.workers=1"])],
)
def test_a_stopped_build_says_how_far_it_is_and_goes_on(tmp_path, number, more):
    write_warc(tmp_path / "a.warc.gz", [Page(url=f"https://a.example/{i}", html=article(i)) for i in range(4)])
    (tmp_path / "c.yaml").write_text(CONFIG)
    waits = Page(url="https://b.example/", html=article(9) + "<!-- poison:sleep -->")
    write_warc(tmp_path / "b.warc.gz", [waits])
    build = start(tmp_path, *more)
    until((tmp_path / "out/steps/extract/commits/00000.json").exists)
    time.sleep(0.5)
    build.send_signal(number)
    _, errors = build.communicate(timeout=60)
    assert build.returncode == 1
    line = f"stopped by {number.name}; extract: 1 of 2 tasks committed; the same command goes on from here"
    assert line in errors.splitlines()
    assert "Traceback" not in errors and "***" not in errors
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert (record["state"], record["error"].split(";")[0]) == ("failed", f"Stopped: {number.name}")
    assert list((tmp_path / "out").rglob(".*.tmp")) == []
    os.kill(os.getpid(), 0)
    if "--local" in more and number == signal.SIGINT:
        resumed = start(tmp_path, "--local", "--set", "run.page_limits.wall_seconds=1")
        assert resumed.wait(60) == 0
        assert json.loads((tmp_path / "out/run.json").read_text())["totals"]["quarantined"] == 1


def test_an_interrupt_that_was_swallowed_is_raised_before_the_next_task(tmp_path):
    """As an import inside C code does: the run would go on to its end."""
    done = []

    def task(number):
        done.append(number)
        if number == 2:
            with contextlib.suppress(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(1)
        return number

    with pytest.raises(Stopped, match="SIGTERM"), stopping.stoppable(tmp_path):
        list(LocalRunner().map(task, [1, 2, 3, 4]))
    assert done == [1, 2]


def test_an_error_that_an_interrupt_became_is_no_error_of_the_build(tmp_path):
    with pytest.raises(Stopped, match="SIGINT"), stopping.stoppable(tmp_path):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        except KeyboardInterrupt:
            raise AttributeError("partially initialized module") from None
    with pytest.raises(AttributeError), stopping.stoppable(tmp_path):
        raise AttributeError("of its own")
