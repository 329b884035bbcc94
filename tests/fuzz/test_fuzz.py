"""A short run of the fuzzer: 10 CPU seconds over all targets, from a seed of its own."""

import re
import subprocess
import sys
from pathlib import Path

FUZZ = Path(__file__).parent / "fuzz.py"


def run(*words: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, str(FUZZ), *words], capture_output=True, text=True, timeout=280, check=False)
    return done.returncode, done.stdout + done.stderr


def test_no_input_breaks_anything():
    code, said = run("--seconds", "10", "--seed", "4")
    last = re.fullmatch(r"fuzz: (\d+) inputs, (\d+) targets, 0 crashes, 0 hangs", said.strip().splitlines()[-1])
    assert last and code == 0, said
    assert int(last[1]) > 300
    assert int(last[2]) == 17


def test_a_crash_and_a_hang_are_found(tmp_path):
    """The fuzzer itself: a target that breaks, hangs, dies and exhausts memory is told of, and it goes on behind."""
    script = tmp_path / "broken.py"
    script.write_text(BROKEN.format(folder=str(FUZZ.parent)))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=280, check=False)
    assert done.stdout.strip().splitlines()[-1] == "fuzz: 10 inputs, 1 targets, 3 crashes, 1 hangs", done.stdout
    assert "hang broken:3" in done.stdout
    assert "a promise" in done.stdout
    assert done.returncode == 1


BROKEN = """
import os, signal, sys
sys.argv = ["fuzz.py", "--seconds", "3"]
sys.path.insert(0, {folder!r})
import fuzz
from case import Target, promise



def use(case):
    number = int(case.folder.parent.joinpath("number").read_text() or 0) + 1 \\
        if case.folder.parent.joinpath("number").exists() else 1
    case.folder.parent.joinpath("number").write_text(str(number))
    if number == 2:
        promise(False, "a promise")
    if number == 3:
        while True:
            pass
    if number == 5:
        os.kill(os.getpid(), signal.SIGSEGV)
    if number == 7:
        bytearray(1 << 40)
    return "fine"

class Ten(fuzz.Board):
    @property
    def seconds(self):
        return 99.0 if self.begun(0) >= 10 else 0.0

fuzz.LONGEST, fuzz.Board = 1.0, Ten
fuzz.TARGETS = (Target("broken", use),)
sys.exit(fuzz.main())
"""
