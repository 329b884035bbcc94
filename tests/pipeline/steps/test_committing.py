"""Files of a task, and the commit that names them."""

import time

import pytest

from pipeline.contract.errors import UserError
from pipeline.contract.manifest import sha256_file
from pipeline.engine.ledger import Ledger
from pipeline.steps.committing import commit_file, committed_files, cpu_seconds_since, edge_files, publish


def test_a_published_file_is_named_below_the_run_with_its_size_and_hash(tmp_path):
    entry = publish(tmp_path, "steps/x/files/1", lambda path: path.write_bytes(b"abc"))
    assert (entry.path, entry.bytes) == ("steps/x/files/1", 3)
    assert entry.sha256 == sha256_file(tmp_path / "steps/x/files/1")


def test_counts_are_read_after_the_file_is_written(tmp_path):
    counts = {"edges": 0}

    def write(path):
        path.write_bytes(b"1234")
        counts["edges"] = 7

    commit = commit_file(tmp_path, "x", "00001", write, time.process_time(), counts, {"version": 2})
    assert Ledger(tmp_path, "x").committed() == {"00001": commit}
    assert (dict(commit.counts), dict(commit.notes)) == ({"edges": 7}, {"version": 2})
    assert committed_files(tmp_path, {"00001": commit}) == (tmp_path / "steps/x/files/00001",)
    assert edge_files(tmp_path, {"00001": commit}) == {tmp_path / "steps/x/files/00001": 7}


def test_a_task_that_fails_leaves_neither_file_nor_commit(tmp_path):
    def write(path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(UserError, match="cannot be written: disk full"):
        commit_file(tmp_path, "x", "00001", write, 0.0, {})
    assert Ledger(tmp_path, "x").committed() == {}
    assert list(tmp_path.rglob("*00001*")) == []


def test_cpu_seconds_are_rounded_to_microseconds():
    spent = cpu_seconds_since(time.process_time() - 1.5)["total"]
    assert spent >= 1.5 and spent == round(spent, 6)
