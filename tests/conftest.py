"""What every test may use."""

import functools
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.document import Document

REPOSITORY = Path(__file__).resolve().parent.parent
WHOLE_MACHINE = re.compile(r"RayRunner|run\.local=false|nproc|run_processes|SIGSTOP")
"""In the source of a module: its tests start Ray, several ranks or a process for every core."""
HEAVY = re.compile(
    r"from pipeline\.flow import|pipeline\.cli|subprocess|CliRunner|Popen|shared_data|run_step|text_steps|dedup_step"
    r"|fuzz|trained|from training(\.\w+)* import (pretrain|sft)|" + WHOLE_MACHINE.pattern
)
"""In the source of a module: its tests build whole runs, start processes, train a model or read real data."""


def pytest_sessionstart() -> None:
    """What a shell starts in the background ignores SIGINT, what nohup starts SIGHUP; commands must not."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(optionalhook=True)  # -p no:xdist
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: a quarter of the time a worker waits for processes that it started."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(tryfirst=True)  # before -m chooses among the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share fixtures run in one worker; those that fill the machine, one by one.

    A module shares its fixtures, and where the conftest.py of its folder builds whole runs, the folder does. What takes
    long comes first (`--no-loadscope-reorder` keeps it so), because the last worker to end decides how long it takes.
    """
    for item in items:
        module, beside = _source(item.path), _source(item.path.with_name("conftest.py"))
        group = item.path.parent if HEAVY.search(beside) else item.path
        item.add_marker(pytest.mark.xdist_group("whole-machine" if WHOLE_MACHINE.search(module) else str(group)))
        if HEAVY.search(module + beside):
            item.add_marker(pytest.mark.heavy)
    items.sort(key=lambda item: item.get_closest_marker("heavy") is None)
    items.sort(key=lambda item: WHOLE_MACHINE.search(_source(item.path)) is None)


@functools.cache
def _source(path: Path) -> str:
    """Empty where there is no such file, and for this one, whose patterns would match themselves."""
    return path.read_text("utf-8") if path.exists() and path != Path(__file__) else ""


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real pages, tokenizers and benchmark items; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("TOKENMILL_SHARED", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the shared test data is not at {folder}; set TOKENMILL_SHARED to its folder")
    return folder


@pytest.fixture
def make_doc() -> Callable[..., Document]:
    """Builds a Document around a text; every other field has a harmless value."""

    def build(text: str = "", **fields: Any) -> Document:
        return Document(**{"id": "test-doc", "url": "https://site.example/page", "text": text, **fields})

    return build
