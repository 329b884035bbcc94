import json
import os
import sys

import pytest

from pipeline.contract.errors import ConfigError
from training.runtime.logs import NoLogs, RunLogs, Screen


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_and_samples_are_written_as_they_come(tmp_path):
    logs = RunLogs(tmp_path / "run", first=0, steps=9, tensorboard=False)
    logs.metrics(1, {"loss": 2.5})
    logs.sample(1, "Once", " upon\u2028a time")
    assert lines(tmp_path / "run" / "metrics.jsonl") == [{"step": 1, "loss": 2.5}]
    [sample] = (tmp_path / "run" / "samples.jsonl").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    assert json.loads(sample) == {"step": 1, "prompt": "Once", "text": " upon\u2028a time"}
    logs.close()


def test_rows_after_the_resumed_step_and_torn_ones_go(tmp_path):
    rows = ['{"step": 1, "loss": 3}', '{"step": 2, "loss": 2}', '{"step": 3, "loss": 1}', "[]", '{"step": 2, "lo']
    (tmp_path / "metrics.jsonl").write_text("\n".join(rows))
    logs = RunLogs(tmp_path, first=2, steps=9, tensorboard=False)
    logs.metrics(3, {"loss": 1.5})
    logs.close()
    assert [row["loss"] for row in lines(tmp_path / "metrics.jsonl")] == [3, 2, 1.5]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "metrics.jsonl", "samples.jsonl"]


def test_two_runs_do_not_write_to_one_folder(tmp_path):
    logs = RunLogs(tmp_path, first=0, steps=9, tensorboard=False)
    with pytest.raises(ConfigError, match=r"run\.output: another run is writing to"):
        RunLogs(tmp_path, first=0, steps=9, tensorboard=False)
    logs.close()
    RunLogs(tmp_path, first=0, steps=9, tensorboard=False).close()


def test_a_sample_with_line_separators_stays_one_row_after_a_resume(tmp_path):
    first = RunLogs(tmp_path, first=0, steps=9, tensorboard=False)
    first.sample(1, "", "a\u2028b\x85c")
    first.close()
    RunLogs(tmp_path, first=1, steps=9, tensorboard=False).close()
    content = (tmp_path / "samples.jsonl").read_bytes().decode()
    assert json.loads(content) == {"step": 1, "prompt": "", "text": "a\u2028b\x85c"}


def test_tensorboard_gets_numbers_and_samples(tmp_path):
    logs = RunLogs(tmp_path, first=0, steps=9, tensorboard=True)
    logs.metrics(1, {"loss": 2.5})
    logs.sample(1, "a", "b")
    logs.close()
    [events] = (tmp_path / "tensorboard").iterdir()
    assert b"loss" in events.read_bytes()


def test_plain_lines_where_there_is_no_terminal(capsys):
    screen = Screen(0, 10)
    screen.metrics(3, {"loss": 2.34567, "learning_rate": 3e-4, "tokens_per_second": 12345.6, "mfu": 0.4123, "other": 1})
    screen.say("[not] markup")
    assert capsys.readouterr().err == (
        "step 3/10 loss 2.3457 rate 3.00e-04 tok/s 12,346 MFU 41.2%\n[not] markup\n"
    )  # fmt: skip


def test_a_screen_that_goes_away_ends_no_run(tmp_path, monkeypatch):
    reader, writer = os.pipe()
    gone = os.fdopen(writer, "w", buffering=1)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", gone)
        logs = RunLogs(tmp_path, first=0, steps=9, tensorboard=False)
        logs.say("hello")
        os.close(reader)
        for step in (1, 2):
            logs.metrics(step, {"loss": 2.5})
        logs.close()
    with pytest.raises(BrokenPipeError):
        gone.close()
    assert [row["step"] for row in lines(tmp_path / "metrics.jsonl")] == [1, 2]


def test_other_processes_are_silent(capsys):
    logs = NoLogs()
    logs.metrics(1, {"loss": 1.0})
    logs.sample(1, "a", "b")
    logs.say("c")
    logs.close()
    assert capsys.readouterr() == ("", "")
