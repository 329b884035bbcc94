"""PageFunctions for the tests: pages that behave, hang, eat memory, overflow the stack or kill the process."""

import os
import signal
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
    if kind == "folder":
        return str(Path.cwd())
    if kind == "raise":
        raise LookupError("a page said no")
    return kind
