"""A page that hangs, waits, crashes or exits loses only itself."""

import pytest
from bad_pages import numbers

from pipeline.contract.errors import TokenmillError
from pipeline.engine.isolation import guarded
from pipeline.engine.settings import PageLimits

LIMITS = PageLimits(cpu_seconds=1.0, wall_seconds=2.0, memory=1 << 30)


def test_good_pages_come_through_in_order():
    task = [f"page {i}" for i in range(100)]
    assert list(guarded(numbers, task, LIMITS)) == [("ok", i, f"page {i}") for i in range(100)]


def test_the_same_without_isolation():
    task = ["a", "b"]
    assert list(guarded(numbers, task, LIMITS, isolate=False)) == [("ok", 0, "a"), ("ok", 1, "b")]


@pytest.mark.parametrize(
    ("kind", "cause"),
    [("spin", "timeout"), ("sleep", "timeout"), ("segfault", "crash: SIGSEGV"), ("exit", "crash: exit code 3")],
)
def test_a_bad_page_is_blamed_alone(kind, cause):
    task = ["a", "b", kind, "c", "d"]
    expected = [("ok", 0, "a"), ("ok", 1, "b"), ("blamed", 2, cause), ("ok", 3, "c"), ("ok", 4, "d")]
    assert list(guarded(numbers, task, LIMITS)) == expected


def test_several_bad_pages_in_a_row():
    task = ["segfault", "exit", "segfault", "a", "segfault"]
    kinds = [outcome[0] for outcome in guarded(numbers, task, LIMITS)]
    assert kinds == ["blamed", "blamed", "blamed", "ok", "blamed"]


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


def test_a_process_that_dies_before_any_page_is_an_error():
    with pytest.raises((TokenmillError, AttributeError, ImportError)):
        list(guarded(_not_there, ["a"], LIMITS))


def _not_there(task, resume, begin):
    yield 1, "never importable by the child under this module's name"


_not_there.__qualname__ = "no_such_function"
