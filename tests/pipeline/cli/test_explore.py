"""`tokenmill explore`: where it listens, with which token, and how it ends."""

import os
import re
import signal
import subprocess

import pytest
from run_records import run_record
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.contract.child import environment, module_command
from pipeline.contract.errors import UserError


def address_of(out, *options):
    """What the command prints of its address, and its exit code after Ctrl-C."""
    command = module_command("pipeline.cli", "explore", str(out), "--port", "0", *options)
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline()
        os.kill(process.pid, signal.SIGINT)
        assert process.stdout.read() == "stopped\n"
    return first, process.returncode


def test_this_machine_needs_no_token_and_ctrl_c_ends_it_well(tmp_path):
    run_record().write(tmp_path)
    line, code = address_of(tmp_path)
    assert re.fullmatch(rf"{re.escape(str(tmp_path))}: http://127\.0\.0\.1:\d+/  \(Ctrl-C ends it\)\n", line)
    assert code == 0


def test_any_other_address_has_a_token_made_up(tmp_path):
    run_record().write(tmp_path)
    line, _ = address_of(tmp_path, "--host", "0.0.0.0")
    assert re.search(r"http://0\.0\.0\.0:\d+/\?token=[A-Za-z0-9_-]{32} ", line)


@pytest.mark.parametrize("token", ["", "a" * 15, "a" * 201, "a" * 16 + "/", "\u00e9" * 16])
def test_a_token_is_of_letters_and_neither_short_nor_long(tmp_path, token):
    run_record().write(tmp_path)
    failed = CliRunner().invoke(app, ["explore", str(tmp_path), "--token", token])
    assert isinstance(failed.exception, UserError) and "must be 16 to 200 letters" in str(failed.exception)
