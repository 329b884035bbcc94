"""The page process: what it tells its parent, when it wants to be replaced, and when it ends."""

import contextlib
import os
import signal
import subprocess
import tempfile
from multiprocessing import Pipe

import pytest
from bad_pages import numbers, process_ids

from pipeline.contract.child import environment, module_command
from pipeline.contract.errors import TokenmillError
from pipeline.engine.isolation import HEARTBEAT, guarded
from pipeline.engine.settings import PageLimits

LIMITS = PageLimits(cpu_seconds=1.0, wall_seconds=2.0, memory=1 << 30)


@contextlib.contextmanager
def page_process(parent):
    """(process, our end of its pipe)."""
    ours, theirs = Pipe()
    with tempfile.TemporaryFile() as heartbeat, ours:
        heartbeat.truncate(HEARTBEAT.size)
        descriptors = theirs.fileno(), heartbeat.fileno()
        command = module_command("pipeline.engine.page_process", *map(str, (*descriptors, parent)))
        with subprocess.Popen(command, pass_fds=descriptors, env=environment()) as process:
            theirs.close()
            try:
                yield process, ours
            finally:
                process.kill()


def test_it_says_how_slow_the_machine_is_and_ends_with_its_pipe():
    with page_process(os.getpid()) as (process, pipe):
        assert pipe.recv() >= 1.0
        pipe.close()
        assert process.wait(timeout=60) == 0


def test_ctrl_c_is_the_parents_to_handle():
    with page_process(os.getpid()) as (process, pipe):
        pipe.recv()
        process.send_signal(signal.SIGINT)
        pipe.send((os.getcwd(), [*environment()["PYTHONPATH"].split(os.pathsep)]))  # noqa: PTH109
        pipe.send(("bad_pages:numbers", ["a", "b"], 1, 1, {}, LIMITS))
        assert pipe.recv() == ("outcomes", [(2, 2, ("ok", 1, "b"))])
        assert pipe.recv()[0] == "done"


def test_the_orphan_of_another_parent_does_not_start():
    with page_process(1) as (process, pipe):
        assert process.wait(timeout=60) == 1
        with pytest.raises(EOFError):
            pipe.recv()


def test_an_exception_that_cannot_be_sent_comes_as_its_text():
    with pytest.raises(TokenmillError, match="Unsendable: cannot be pickled") as caught:
        list(guarded(numbers, ["a", "unsendable"], LIMITS))
    assert "in _page" in str(caught.value)


def test_memory_beyond_the_limit_is_a_memory_error_in_the_page():
    with pytest.raises(MemoryError):
        list(guarded(numbers, ["a", "memory"], LIMITS))


def test_a_kept_child_works_where_its_parent_now_is(tmp_path, monkeypatch):
    assert [outcome[0] for outcome in guarded(numbers, ["folder"], LIMITS)] == ["ok"]
    monkeypatch.chdir(tmp_path)
    assert list(guarded(numbers, ["folder"], LIMITS)) == [("ok", 0, str(tmp_path))]


def test_an_exception_of_the_function_is_raised_here_with_its_trace():
    with pytest.raises(LookupError, match="a page said no") as caught:
        list(guarded(numbers, ["a", "raise"], LIMITS))
    assert "in the page process" in caught.value.__notes__[0]


def test_a_process_that_leaks_is_replaced_within_a_task():
    limits = PageLimits(recycle_growth=64 << 20)
    found = list(guarded(process_ids, 80, limits))
    assert [index for index, _ in found] == list(range(80))
    assert 2 <= len({process for _, process in found}) <= 6


def test_a_process_is_replaced_after_so_many_pages():
    limits = PageLimits(recycle_pages=32)
    found = list(guarded(process_ids, 64, limits))
    assert [index for index, _ in found] == list(range(64))
    assert len({process for _, process in found}) == 2


def test_an_exception_that_cannot_be_made_again_here_comes_as_its_text():
    with pytest.raises(TokenmillError, match="Unreceivable: a page said no"):
        list(guarded(numbers, ["a", "unreceivable"], LIMITS))
