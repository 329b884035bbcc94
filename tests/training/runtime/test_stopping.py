"""Training commands that a signal ends: one line that says what is saved, and 128 + signal."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from training import checkpoint

STEPS = 1_000_000


@pytest.fixture(scope="module")
def config(tokens, tmp_path_factory):
    """A run that does not end by itself."""
    tree = {
        "data": {"tokens": str(tokens)},
        "batch": {"steps": STEPS, "tokens": 4 * 32, "micro_batch_size": 2},
        "run": {"log_every": 1, "tensorboard": False, "sample_every": None},
        "model": {"context_length": 32, "num_layers": 1, "hidden_size": 16, "num_heads": 2, "num_kv_heads": 1},
        "optimizer": {"warmup_steps": 2},
        "validation": {"every": None},
        "checkpoint": {"every": None},
        "parallel": {"device": "cpu"},
    }
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(json.dumps(tree))
    return path


@contextlib.contextmanager
def started(*command):
    """A command in a session of its own, so that a signal to its group reaches no one else."""
    process = subprocess.Popen(
        [sys.executable, "-m", *map(str, command)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def has_trained(output):
    metrics = output / "metrics.jsonl"
    return lambda: metrics.exists() and metrics.read_text().count("\n") >= 3


def loads_torch(process):
    return lambda: "libtorch" in Path(f"/proc/{process.pid}/maps").read_text()


def the_line(process, code):
    """The one line about the end, of a command that ended with `code`."""
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    (line,) = [line for line in errors.splitlines() if line.startswith("stopped by ")]
    return line


def saved_line(name, output, steps=f"{STEPS:,}"):
    """What is to be said, and the checkpoint that it speaks of is whole."""
    found = checkpoint.read(output, check_hashes=True)
    step = f"{found.progress.step:,}"
    assert found.progress.step > 0
    return f"stopped by {name}; step {step} of {steps} is saved in {found.path}; the same command goes on from there"


def test_ctrl_c_stops_a_run_of_two_processes(config, tmp_path):
    """As Slurm and systemd do it: every process is told, and told again by the launcher."""
    command = ("pipeline.cli", "train", config, "--nproc", 2, "--set", f"run.output={tmp_path}")
    with started(*command) as run:
        until(has_trained(tmp_path))
        members = psutil.Process(run.pid).children()
        assert len(members) == 2
        for process in (run, *members):
            process.send_signal(signal.SIGINT)
        assert the_line(run, 130) == saved_line("SIGINT", tmp_path)
        assert not any(member.is_running() for member in members)


def test_fine_tuning_stops_the_same_way(save_parent, random_model, tmp_path):
    pairs = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "eins"}]
    (tmp_path / "train.jsonl").write_text(json.dumps({"messages": pairs}) + "\n")
    tree = {
        "init_from": str(save_parent(random_model())),
        "data": {"train": [str(tmp_path / "train.jsonl")]},
        "validation": {"fraction": None},
        "batch": {"epochs": 5000, "rows": 1, "micro_batch_size": 1},
        "run": {"output": str(tmp_path / "out"), "log_every": 1, "tensorboard": False, "sample_every": None},
        "parallel": {"device": "cpu"},
    }
    (tmp_path / "sft.yaml").write_text(json.dumps(tree))
    with started("pipeline.cli", "sft", tmp_path / "sft.yaml", "--nproc", 1) as run:
        until(has_trained(tmp_path / "out"))
        os.killpg(run.pid, signal.SIGTERM)
        assert the_line(run, 143) == saved_line("SIGTERM", tmp_path / "out", steps="5,000")


@pytest.mark.parametrize("command", [("training.pretrain",), ("training.sft",), ("pipeline.cli", "train")])
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_before_the_first_step_a_command_ends_at_once(config, tmp_path, command):
    with started(*command, config, "--set", f"run.output={tmp_path / 'run'}") as run:
        until(loads_torch(run))
        run.send_signal(signal.SIGINT)
        line = "no step was under way, so nothing was to be saved; the same command goes on from here"
        assert the_line(run, 130) == f"stopped by SIGINT; {line}"
    assert not (tmp_path / "run").exists()
