"""A page that hangs, waits, crashes or exits loses only itself."""

import pytest
from bad_pages import killed_once, numbers, readings

from pipeline.contract.errors import TokenmillError
from pipeline.engine.isolation import guarded
from pipeline.engine.settings import PageLimits

LIMITS = PageLimits(cpu_seconds=1.0, wall_seconds=2.0, memory=1 << 30, read_seconds=1.0, read_wall_seconds=2.0)


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


def test_a_process_that_dies_before_any_page_is_an_error():
    with pytest.raises((TokenmillError, AttributeError, ImportError)):
        list(guarded(_not_there, ["a"], LIMITS))


def _not_there(task, resume, begin):
    yield 1, "never importable by the child under this module's name"


_not_there.__qualname__ = "no_such_function"


@pytest.mark.parametrize(("kind", "cause"), [("spin", "timeout"), ("sleep", "timeout"), ("segfault", "crash: SIGSEGV")])
def test_a_reader_that_hangs_or_crashes_between_pages_is_told_so(kind, cause):
    task = ["a", "b", f"read:{kind}", "c", "d"]
    expected = [("ok", 0, "a"), ("ok", 1, "b"), ("unread", 2, cause, False), ("ok", 3, "c"), ("ok", 4, "d")]
    assert list(guarded(readings, task, LIMITS)) == expected


def test_a_reader_that_fails_again_and_again_is_given_up():
    task = ["read:segfault"] * 5
    assert [outcome[3] for outcome in guarded(readings, task, LIMITS)] == [False, False, False, True, True]


def test_a_process_killed_by_someone_else_costs_no_page(tmp_path):
    task = (str(tmp_path / "marker"), ["a", "killed", "b"])
    assert list(guarded(killed_once, task, LIMITS)) == [("ok", 0, "a"), ("ok", 1, "killed"), ("ok", 2, "b")]
    assert (tmp_path / "marker").exists()


def test_a_page_whose_process_is_killed_every_time_is_blamed():
    assert list(guarded(numbers, ["a", "sigkill", "b"], LIMITS))[1] == ("blamed", 1, "memory")


def test_a_page_that_recurses_for_ever_overflows_the_stack_and_is_blamed_alone():
    outcomes = list(guarded(numbers, ["a", "stack", "b"], LIMITS))
    assert [outcome[0] for outcome in outcomes] == ["ok", "blamed", "ok"]
    assert outcomes[1][2] == "crash: SIGSEGV"


def test_a_page_that_loops_inside_a_c_library_is_stopped():
    assert list(guarded(numbers, ["a", "loop in C", "b"], LIMITS))[1] == ("blamed", 1, "timeout")


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("memory", 1, r"memory: must be at least 268435456 \(256 MiB; a body alone may have 64\), got 1"),
        ("cpu_seconds", 0, "cpu_seconds: must be above 0, got 0"),
        ("read_seconds", -1, "read_seconds: must be above 0, got -1"),
        ("recycle_pages", 0, "recycle_pages: must be at least 1, got 0"),
        ("recycle_growth", 0, "recycle_growth: must be above 0, got 0"),
    ],
)
def test_impossible_limits(field, value, problem):
    with pytest.raises(ValueError, match=problem):
        PageLimits(**{field: value})
