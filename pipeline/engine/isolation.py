"""Runs the pages of a task in a child process, so that a page can harm nothing but itself.

The child (`page_process.py`) works through the pages of a task in order. Before each it writes how many it has begun
and the CPU time it has used into a few bytes of shared memory. The parent reads outcomes from a pipe and, when the
pipe is quiet, looks at those bytes: a page over its limits is killed together with the child; a child that died is
noticed by the closed pipe. Either way the next child goes on from the last outcome received and passes over the one
page to blame, which becomes an outcome of its own. Normal pages pay for two clock reads and a share of a pipe write.

Between pages the reader of the input is watched in the same way, if it tells (`Begin.reading`) whenever it goes on.
"""

import atexit
import contextlib
import dataclasses
import mmap
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, Protocol

from pipeline.contract.child import environment, module_command
from pipeline.contract.errors import TokenmillError
from pipeline.engine.settings import PageLimits
from pipeline.engine.task_clock import add_child

POLL_SECONDS = 0.25
# After this many deaths that no page is to blame for, the fault lies with the machine or the reader.
MAX_DEATHS = 3
# After this many places where reading failed, the rest of the input is given up.
MAX_FAULTS = 3
# A page that is ready to run but starved of CPU gets this many times the wall-clock limit.
STARVED = 20
HEARTBEAT = struct.Struct("<QQdd?")
"""Pages begun; readings since the last one; CPU seconds and monotonic time when the last page or reading began (zero:
neither is under way); whether it is a page."""
_PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
_STDERR = 2
"""Where a stage's own prints go: standard output is for what the command says (`--json`)."""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True, slots=True)
class Blame:
    """Why a page is passed over."""

    cause: str
    """`timeout`, `memory` or `crash: SIGSEGV`."""
    seconds: float
    """What the page had used: CPU seconds, or wall seconds if those ran out."""
    final: bool = False
    """Of reading: going on elsewhere in this input has been tried often enough."""


Place = int | tuple[int, int]
"""A page, counted from 1 over the whole task; or (pages begun before, number of the reading since)."""
BlameTable = Mapping[Place, Blame]


class Begin(Protocol):
    """What a PageFunction tells of its progress."""

    def __call__(self) -> Blame | None:
        """A page begins; a Blame in return means that it must be passed over."""

    def reading(self) -> Blame | None:
        """The reader goes on to its next record; a Blame means that this reading must not be tried again."""

    def reader_failed(self) -> bool:
        """Whether some reading of the task killed an earlier process: nothing may be read from the start again."""


class Unguarded:
    """Begin for pages that run in this process, without limits."""

    def __call__(self) -> Blame | None:
        """See Begin."""
        return None

    def reading(self) -> Blame | None:
        """See Begin."""
        return None

    def reader_failed(self) -> bool:
        """See Begin."""
        return False


class PageFunction(Protocol):
    """What can be guarded: a module-level function over the pages of a task.

    It calls `begin()` before it touches a page; a Blame in return means the page must be passed over. After each
    page it yields where to go on (any picklable value, given back as `resume` to a new process; None: from the
    start) and the page's outcome. Given the same `resume` it must meet the same pages in the same order.
    """

    __module__: str
    __qualname__: str

    def __call__(self, task: Any, resume: Any, begin: Begin, /) -> Iterator[tuple[Any, Any]]:
        """Yield (where to go on, outcome)."""


def guarded(
    function: PageFunction, task: Any, limits: PageLimits, *, isolate: bool = True
) -> Generator[Any, None, None]:
    """Every outcome of `function` over `task`, in order, whatever its pages do; closed early, it ends their process.

    Args:
        function: a module-level function.
        task: its first argument; picklable.
        limits: what one page may use.
        isolate: False runs in this process and without limits (for a debugger).

    Raises:
        TokenmillError: the child dies again and again without getting anywhere.
        whatever `function` raised.
    """
    if not isolate:
        for _, outcome in function(task, None, Unguarded()):
            yield outcome
        return
    resume, begun, deaths = None, 0, _Deaths()
    while True:
        child = _take_idle(limits) or _Child()
        child.start((f"{function.__module__}:{function.__qualname__}", task, resume, begun, deaths.blamed, limits))
        try:
            for begun, resume, outcome in child.outcomes(limits):  # noqa: B007 - what a new child goes on from
                yield outcome
        except _ChildDied as death:
            deaths.add(death)
        except _ChildFull:
            pass
        else:
            child.keep()
            return
        finally:
            child.kill_unless_idle()


class _ChildDied(Exception):
    def __init__(self, place: Place | None, blame: Blame, *, from_outside: bool) -> None:
        super().__init__(place, blame)
        self.place, self.blame, self.from_outside = place, blame, from_outside


class _ChildFull(Exception):
    """The child has grown and wants to be replaced."""


class _Deaths:
    """What the deaths of a task's children say about its pages."""

    def __init__(self) -> None:
        self.blamed: dict[Place, Blame] = {}
        self._suspects: set[Place] = set()
        self._unexplained = 0

    def add(self, death: _ChildDied) -> None:
        """Blame the page or the reading, or nobody yet.

        Raises:
            TokenmillError: the child dies again and again and no page is to blame.
        """
        place = death.place
        if place is not None and death.from_outside and place not in self._suspects:
            self._suspects.add(place)  # an operator, or the kernel short of memory for whatever reason: once more
        elif isinstance(place, tuple):
            faults = sum(isinstance(reported, tuple) for reported in self.blamed) + 1
            final = place in self.blamed or faults > MAX_FAULTS
            if self.blamed.get(place, Blame("", 0.0)).final:
                self._give_up(death)
            self.blamed[place] = dataclasses.replace(death.blame, final=final)
        elif place is not None and place not in self.blamed:
            self.blamed[place] = death.blame
        else:
            self._give_up(death)

    def _give_up(self, death: _ChildDied) -> None:
        self._unexplained += 1
        if self._unexplained > MAX_DEATHS:
            times = self._unexplained
            raise TokenmillError(f"the page process died {times} times outside any page: {death.blame}") from None


_idle: list["_Child"] = []


def _take_idle(limits: PageLimits) -> "_Child | None":
    """A child left over from an earlier task of this process: starting one costs seconds of imports."""
    while _idle:
        child = _idle.pop()
        if child.process.poll() is None and child.resident_bytes() < child.first_resident + limits.recycle_growth:
            return child
        child.kill_unless_idle()
    return None


@atexit.register
def end_idle() -> None:
    """End the page processes that wait for another task."""
    while _idle:
        _idle.pop().kill_unless_idle()


class _Child:
    """The parent's end of one page process."""

    def __init__(self) -> None:
        self._pipe, theirs = Pipe()
        with tempfile.TemporaryFile() as shared:
            shared.truncate(HEARTBEAT.size)
            self._heartbeat = mmap.mmap(shared.fileno(), HEARTBEAT.size)
            descriptors = (theirs.fileno(), shared.fileno())
            arguments = (*map(str, descriptors), str(os.getpid()))
            self.process = subprocess.Popen(
                module_command("pipeline.engine.page_process", *arguments), pass_fds=descriptors,
                env=environment({"OMP_NUM_THREADS": "1"}), stdin=subprocess.DEVNULL, stdout=_STDERR,
            )  # fmt: skip
        theirs.close()
        self._slowness = 1.0
        self.first_resident = 1 << 62
        self._fresh = True
        self._looked, self._waited, self._last = 0.0, 0.0, (0, 0)
        self._receive_hello()

    def _receive_hello(self) -> None:
        try:
            self._slowness = float(self._pipe.recv())
        except (EOFError, OSError) as error:
            raise TokenmillError(f"the page process did not start (exit code {self.process.wait()})") from error
        self.first_resident = self.resident_bytes()

    def start(self, message: tuple[Any, ...]) -> None:
        """Hand over a task."""
        HEARTBEAT.pack_into(self._heartbeat, 0, message[3], 0, 0.0, 0.0, False)
        try:
            # A child kept from an earlier task may have been started in another folder, or before a path was added;
            # it must know before it unpickles the task.
            self._pipe.send((str(Path.cwd()), sys.path))
            self._pipe.send(message)
        except OSError as error:
            raise TokenmillError(f"the page process is gone (exit code {self.process.poll()})") from error

    def outcomes(self, limits: PageLimits) -> Iterator[tuple[int, Any, Any]]:
        """(pages begun, where to go on, outcome) of the task, to its end.

        Raises:
            _ChildDied: the child died, or was killed here for what its page did.
            _ChildFull: it has grown, and ended.
        """
        blame = None
        while True:
            try:
                if blame is None and not self._pipe.poll(POLL_SECONDS):
                    blame = self._over_limit(limits)
                    if blame:
                        self.process.kill()  # what it had already sent is still in the pipe, and read below
                    continue
                kind, content = self._pipe.recv()
            except (EOFError, OSError):
                crash, outside = self._crash()
                raise _ChildDied(self._place(), blame or crash, from_outside=outside and not blame) from None
            if kind == "error":
                raise content
            if kind == "full":
                raise _ChildFull
            if kind == "done":
                add_child(content)
                return
            if self._fresh:  # models and lists are loaded by now: what comes on top of them is growth
                self._fresh, self.first_resident = False, self.resident_bytes()
            yield from content

    def keep(self) -> None:
        """Leave the child for the next task of this process."""
        _idle.append(self)

    def kill_unless_idle(self) -> None:
        """End the child and free what it held, unless it is kept."""
        if self in _idle:
            return
        self.process.kill()
        self.process.wait()
        self._pipe.close()
        with contextlib.suppress(BufferError):
            self._heartbeat.close()

    def resident_bytes(self) -> int:
        """The child's resident memory; 0 once it is gone."""
        try:
            return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * _PAGE_SIZE
        except (OSError, IndexError):
            return 0

    def _place(self) -> Place | None:
        begun, readings, _, wall_start, inside = HEARTBEAT.unpack_from(self._heartbeat)
        return begun if inside else (begun, readings) if wall_start else None

    def _over_limit(self, limits: PageLimits) -> Blame | None:
        begun, readings, cpu_start, wall_start, inside = HEARTBEAT.unpack_from(self._heartbeat)
        if not wall_start:
            return None
        state, used = self._process_state()
        waited = self._count_waiting((begun, readings), wall_start, state)
        if HEARTBEAT.unpack_from(self._heartbeat)[:2] != (begun, readings):
            return None  # the page ended while we looked
        cpu = used - cpu_start
        most_cpu, most_wall = (
            (limits.cpu_seconds, limits.wall_seconds) if inside else (limits.read_seconds, limits.read_wall_seconds)
        )
        if cpu > most_cpu * self._slowness:
            return Blame("timeout", round(cpu, 1))
        if waited > most_wall * self._slowness:
            return Blame("timeout", round(waited, 1))
        if self.resident_bytes() > self.first_resident + limits.memory + limits.recycle_growth:
            return Blame("memory", round(cpu, 1))
        return None

    def _count_waiting(self, place: tuple[int, int], wall_start: float, state: str) -> float:
        """Seconds that the page has waited by itself, as far as we saw it.

        On a crowded machine a page may get little CPU for long, and either process may be stopped (SIGSTOP, a
        suspended machine): none of that is the page's fault.
        """
        now = time.monotonic()
        if place != self._last:
            self._last, self._looked, self._waited = place, max(wall_start, now - 2 * POLL_SECONDS), 0.0
        seen = min(now - self._looked, 4 * POLL_SECONDS)
        self._waited += 0.0 if state in "Tt" else seen / STARVED if state == "R" else seen
        self._looked = now
        return self._waited

    def _process_state(self) -> tuple[str, float]:
        """State letter of proc(5), `R` for running or ready to run, and CPU seconds used."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return "X", 0.0
        return fields[0], (int(fields[11]) + int(fields[12])) / _TICKS

    def _crash(self) -> tuple[Blame, bool]:
        """How the child died; and whether something other than its page may have killed it."""
        wall_start = HEARTBEAT.unpack_from(self._heartbeat)[3]
        code = self.process.wait()
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        # A page that dies of SIGKILL twice has met the kernel's out-of-memory killer.
        cause = "memory" if name == "SIGKILL" else f"crash: {name}"
        seconds = round(max(0.0, time.monotonic() - wall_start), 1) if wall_start else 0.0
        return Blame(cause, seconds), name in ("SIGKILL", "SIGTERM")
