"""A short spell of chaos; `make chaos` is the long one."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "chaos" / "chaos.py"


@pytest.mark.timeout(600)
def test_ten_faults_change_no_byte(tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--faults", "10", "--seed", "7", "--keep", str(tmp_path / "chaos")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    faults, runs, differing = [int(word) for word in done.stdout.splitlines()[-1].split() if word.isdigit()]
    assert faults >= 10 and runs >= 1
    assert differing == 0


def test_chaos_sees_a_byte_that_differs(tmp_path):
    sys.path.insert(0, str(SCRIPT.parent))
    from chaos import differing_bytes

    for name, content in (("a", b"abcdef"), ("b", b"abXdefgh")):
        (tmp_path / name / "tokens").mkdir(parents=True)
        (tmp_path / name / "tokens" / "00000.ds").write_bytes(content)
    (tmp_path / "a" / "tokens" / "gone").write_bytes(b"123")
    assert differing_bytes(tmp_path / "a", tmp_path / "b") == 1 + 2 + 3
    assert differing_bytes(tmp_path / "a", tmp_path / "a") == 0
