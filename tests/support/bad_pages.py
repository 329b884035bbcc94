"""PageFunctions for the tests: pages that behave, hang, eat memory, overflow the stack or kill the process."""

import ctypes
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.engine.isolation import Begin


def numbers(task: list[str], resume: int | None, begin: Begin) -> Iterator[tuple[int, Any]]:
    """One outcome per item of `task`; the item says what the page does."""
    for index in range(resume or 0, len(task)):
        blame = begin()
        outcome = ("blamed", index, blame.cause) if blame else ("ok", index, _page(task[index]))
        yield index + 1, outcome


def _page(kind: str) -> str:
    if kind == "spin":
        while True:
            pass
    if kind == "sleep":
        time.sleep(3600)
    if kind == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if kind == "exit":
        os._exit(3)
    if kind == "memory":
        return str(len(bytearray(1 << 40)))
    if kind == "grow":
        hoard = []
        while True:
            hoard.append(bytearray(1 << 26))
    if kind == "sigkill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "stack":
        # Python bounds its own recursion; a C library's (a parser's over nested tags) runs over the guard page.
        ctypes.CFUNCTYPE(None)(_recurse)()
    if kind == "loop in C":
        re.match(r"(a+)+$", "a" * 64 + "b")
    if kind == "folder":
        return str(Path.cwd())
    if kind == "raise":
        raise LookupError("a page said no")
    if kind == "unsendable":
        raise Unsendable
    if kind == "unreceivable":
        raise Unreceivable("a page", "said no")
    return kind


class Unsendable(Exception):
    """An exception that pickle cannot take."""

    def __init__(self) -> None:
        super().__init__("cannot be pickled")
        self.held = lambda: None


class Unreceivable(Exception):
    """An exception that pickle takes and cannot make again."""

    def __init__(self, who: str, what: str) -> None:
        super().__init__(f"{who} {what}")


def _recurse() -> None:
    sys.setrecursionlimit(1 << 30)
    ctypes.CFUNCTYPE(None)(_recurse)()


def readings(task: list[str], resume: int | None, begin: Begin) -> Iterator[tuple[int, Any]]:
    """A reader before every item of `task`: `read:...` is what the reader itself does there; the rest are pages."""
    index = resume or 0
    while index < len(task):
        blame = begin.reading()
        kind = task[index]
        if blame:
            begin()
            yield index + 1, ("unread", index, blame.cause, blame.final)
        elif kind.startswith("read:"):
            _page(kind.removeprefix("read:"))
        else:
            outcome = ("blamed", index, blame.cause) if (blame := begin()) else ("ok", index, _page(kind))
            yield index + 1, outcome
        index += 1


def killed_once(task: tuple[str, list[str]], resume: int | None, begin: Begin) -> Iterator[tuple[int, Any]]:
    """As `numbers`; the item `killed` meets a SIGKILL from elsewhere, the first time (a marker file tells)."""
    marker, items = Path(task[0]), task[1]
    for index in range(resume or 0, len(items)):
        blame = begin()
        if items[index] == "killed" and not blame and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield index + 1, ("blamed", index, blame.cause) if blame else ("ok", index, items[index])


def process_ids(task: int, resume: int | None, begin: Begin) -> Iterator[tuple[int, Any]]:
    """The process that does each of `task` pages, each of which leaks 4 MiB."""
    for index in range(resume or 0, task):
        begin()
        _leaked.append(bytearray(os.urandom(1 << 12) * 1024))
        yield index + 1, (index, os.getpid())


_leaked: list[bytearray] = []
