"""The child of `isolation`: runs one PageFunction after another and reports outcomes through a pipe.

python -m pipeline.engine.page_process PIPE_FD HEARTBEAT_FD PARENT_PID
"""

import ctypes
import gc
import importlib
import mmap
import os
import pickle
import resource
import signal
import sys
import time
import traceback
import zlib
from multiprocessing.connection import Connection
from typing import Any

from pipeline.contract.errors import TokenmillError
from pipeline.engine.isolation import HEARTBEAT, Blame, BlameTable, PageFunction
from pipeline.engine.settings import PageLimits

# Outcomes travel in batches: at most this many pages, or this many seconds of them, are done again after a crash.
BATCH = 16
BATCH_SECONDS = 0.2
# CPU seconds of `_slowness`'s work on the machine the default limits were chosen on (a 2.x GHz server core).
REFERENCE_SECONDS = 0.016
_PR_SET_PDEATHSIG = 1
_PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Serve tasks until the parent closes the pipe."""
    pipe_fd, heartbeat_fd, parent = map(int, sys.argv[1:4])
    _die_with(parent)
    pipe = Connection(pipe_fd)
    heartbeat = mmap.mmap(heartbeat_fd, HEARTBEAT.size)
    gc.disable()  # until everything is loaded, see _HeartbeatBegin: what imports make stays
    try:
        pipe.send(_slowness())
    except BrokenPipeError:
        return
    while True:
        try:
            folder, sys.path[:] = pipe.recv()
            os.chdir(folder)
            name, task, resume, pages_begun, blamed, limits = pipe.recv()
        except (EOFError, ConnectionResetError):
            return
        try:
            limit_memory(limits.memory)
            start = time.process_time()
            gc.disable()
            begin = _HeartbeatBegin(pages_begun, blamed, heartbeat)
            if not _run(_load(name), task, resume, begin, pipe, limits):
                pipe.send(("full", None))
                return
            pipe.send(("done", time.process_time() - start))
        except (BrokenPipeError, ConnectionResetError):
            return
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the parent's to raise
            _send_error(pipe, error)


class _HeartbeatBegin:
    """Begin, as told to the parent through the heartbeat."""

    def __init__(self, pages_begun: int, blamed: BlameTable, heartbeat: mmap.mmap) -> None:
        self.pages_begun, self._readings, self._blamed, self._heartbeat = pages_begun, 0, blamed, heartbeat
        self._modules = len(sys.modules)

    def __call__(self) -> Blame | None:
        """See Begin."""
        self.pages_begun, self._readings = self.pages_begun + 1, 0
        self._beat(inside=True)
        return self._blamed.get(self.pages_begun) if self._blamed else None

    def reading(self) -> Blame | None:
        """See Begin."""
        self._readings += 1
        self._beat(inside=False)
        return self._blamed.get((self.pages_begun, self._readings)) if self._blamed else None

    def reader_failed(self) -> bool:
        """See Begin."""
        return any(isinstance(place, tuple) for place in self._blamed)

    def clear(self) -> None:
        """Neither a page nor a reading is under way."""
        HEARTBEAT.pack_into(self._heartbeat, 0, self.pages_begun, self._readings, 0.0, 0.0, False)

    def _beat(self, *, inside: bool) -> None:
        if not gc.isenabled():  # the first page or reading: its models are loaded
            if len(sys.modules) > self._modules:
                gc.freeze()  # no collection goes through modules and models again
            gc.enable()
        now = time.process_time(), time.monotonic()
        HEARTBEAT.pack_into(self._heartbeat, 0, self.pages_begun, self._readings, *now, inside)


def _run(
    function: PageFunction, task: Any, resume: Any, begin: _HeartbeatBegin, pipe: Connection, limits: PageLimits
) -> bool:
    """Do the task's pages; False if this process has grown too far to go on behind the outcomes it sent."""
    batch: list[tuple[int, Any, Any]] = []
    sent, start, first = time.monotonic(), begin.pages_begun, None
    for resume_at, outcome in function(task, resume, begin):
        begin.clear()
        batch.append((begin.pages_begun, resume_at, outcome))
        if len(batch) < BATCH and time.monotonic() - sent <= BATCH_SECONDS:
            continue
        pipe.send(("outcomes", batch))
        batch, sent = [], time.monotonic()
        first = first or _resident_bytes()
        if (
            _resident_bytes() - first > limits.recycle_growth
            or 0 < (limits.recycle_pages or 0) <= begin.pages_begun - start
        ):
            return False
    if batch:
        pipe.send(("outcomes", batch))
    return True


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - a pseudo-file, read often
        return int(statm.read().split()[1]) * _PAGE_SIZE


def _load(name: str) -> PageFunction:
    module, _, function = name.partition(":")
    loaded: PageFunction = getattr(importlib.import_module(module), function)
    return loaded


def _send_error(pipe: Connection, error: BaseException) -> None:
    error.add_note("in the page process:\n" + "".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - bytes of our own
    except Exception:  # noqa: BLE001 - an exception that pickle cannot take, or cannot make again, still has a text
        error = TokenmillError("".join(traceback.format_exception(error)))
    pipe.send(("error", error))


def limit_memory(bytes_more: int) -> None:
    """Let this process allocate `bytes_more` beyond what it has: then malloc fails, and Python raises MemoryError."""
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - a pseudo-file, on the start-up path
        data = int(statm.read().split()[5]) * os.sysconf("SC_PAGE_SIZE")
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (data + bytes_more, hard))


def _slowness() -> float:
    """How many times slower than the reference this machine is just now, at least 1: page limits grow with it."""
    block = bytes(range(256)) * 8192
    best = _cpu_time_of(block)
    for _ in range(2):
        if best > REFERENCE_SECONDS:  # perhaps it was disturbed
            best = min(best, _cpu_time_of(block))
    return max(1.0, best / REFERENCE_SECONDS)


def _cpu_time_of(block: bytes) -> float:
    start = time.process_time()
    zlib.compress(block, 9)
    return time.process_time() - start


def _die_with(parent: int) -> None:
    """Never outlive the parent: a hanging page would keep an orphan busy for ever. Ctrl-C is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


if __name__ == "__main__":
    main()
