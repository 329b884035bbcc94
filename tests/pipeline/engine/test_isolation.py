"""A page that hangs, waits, crashes or exits loses only itself."""

import importlib.util
import sys
from pathlib import Path

import pytest

from pipeline.contract.errors import TokenmillError
from pipeline.engine.isolation import guarded
from pipeline.engine.settings import PageLimits

LIMITS = PageLimits(cpu_seconds=1.0, wall_seconds=2.0, memory=1 << 30)


@pytest.fixture(scope="module")
def numbers():
    """The PageFunction of pages.py, importable by name in the child too."""
    folder = str(Path(__file__).parent)
    sys.path.insert(0, folder)
    spec = importlib.util.find_spec("pages")
    module = importlib.util.module_from_spec(spec)
    sys.modules["pages"] = module
    spec.loader.exec_module(module)
    yield module.numbers
    sys.path.remove(folder)


def test_good_pages_come_through_in_order(numbers):
    task = [f"page {i}" for i in range(100)]
    assert list(guarded(numbers, task, LIMITS)) == [("ok", i, f"page {i}") for i in range(100)]


def test_the_same_without_isolation(numbers):
    task = ["a", "b"]
    assert list(guarded(numbers, task, LIMITS, isolate=False)) == [("ok", 0, "a"), ("ok", 1, "b")]


@pytest.mark.parametrize(
    ("kind", "cause"),
    [("spin", "timeout"), ("sleep", "timeout"), ("segfault", "crash: SIGSEGV"), ("exit", "crash: exit code 3")],
)
def test_a_bad_page_is_blamed_alone(numbers, kind, cause):
    task = ["a", "b", kind, "c", "d"]
    expected = [("ok", 0, "a"), ("ok", 1, "b"), ("blamed", 2, cause), ("ok", 3, "c"), ("ok", 4, "d")]
    assert list(guarded(numbers, task, LIMITS)) == expected


def test_several_bad_pages_in_a_row(numbers):
    task = ["segfault", "exit", "segfault", "a", "segfault"]
    kinds = [outcome[0] for outcome in guarded(numbers, task, LIMITS)]
    assert kinds == ["blamed", "blamed", "blamed", "ok", "blamed"]


def test_memory_beyond_the_limit_is_a_memory_error_in_the_page(numbers):
    with pytest.raises(MemoryError):
        list(guarded(numbers, ["a", "memory"], LIMITS))


def test_an_exception_of_the_function_is_raised_here_with_its_trace(numbers):
    with pytest.raises(LookupError, match="a page said no") as caught:
        list(guarded(numbers, ["a", "raise"], LIMITS))
    assert "in the page process" in caught.value.__notes__[0]


def test_a_process_that_dies_before_any_page_is_an_error(numbers):
    with pytest.raises((TokenmillError, AttributeError)):
        list(guarded(_not_there, ["a"], LIMITS))


def _not_there(task, resume, begin):
    yield 1, "never importable by the child under this module's name"


_not_there.__qualname__ = "no_such_function"
