"""Processes that live and die together."""

import os
import subprocess
import sys

import pytest

from training.runtime import launch

SCRIPT = """
import os, signal, sys, time
rank = os.environ["RANK"]
assert os.environ["WORLD_SIZE"] == "3"
if sys.argv[1] == "fail" and rank == "1":
    sys.exit(7)
if sys.argv[1] == "die" and rank == "2":
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[1] == "well":
    sys.exit(0)
os.write(1, f"{os.getpid()}\\n".encode())  # one write: three processes share the pipe
time.sleep(600)
"""


@pytest.mark.parametrize(("how", "code"), [("well", 0), ("fail", 7), ("die", 137)])
def test_processes_live_and_die_together(tmp_path, monkeypatch, how, code):
    (tmp_path / "script.py").write_text(SCRIPT)
    monkeypatch.setattr(launch, "SETTLE_SECONDS", 0.2)
    assert launch.run_processes([str(tmp_path / "script.py"), how], 3) == code


def test_a_signal_reaches_every_process(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    program = "import sys; from training.runtime.launch import run_processes; sys.exit(run_processes(sys.argv[1:], 3))"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "script.py"), "wait"], stdout=subprocess.PIPE, text=True
    )
    pids = [int(process.stdout.readline()) for _ in range(3)]
    process.terminate()
    assert process.wait(60) == 143
    process.stdout.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
