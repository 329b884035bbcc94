"""What a task costs: the CPU time of its process and of the page processes that work for it.

One task runs in a process at a time, so this is the one clock of the process. Times go into commits alone, which say
what happened, and never into what a task writes.
"""

import dataclasses
import time


@dataclasses.dataclass(slots=True)
class _Clock:
    cpu: float = 0.0
    wall: float = 0.0
    children: float = 0.0


_clock = _Clock()


def start_task() -> None:
    """A task begins in this process."""
    _clock.cpu, _clock.wall, _clock.children = time.process_time(), time.monotonic(), 0.0


def add_child(cpu_seconds: float) -> None:
    """A page process has worked for the task."""
    _clock.children += cpu_seconds


def end_task() -> None:
    """The task is over: what this process commits now is no work of its own."""
    _clock.wall = 0.0


def task_seconds() -> tuple[float, float] | None:
    """(CPU seconds, wall seconds) of the task under way; None where there is none."""
    if not _clock.wall:
        return None
    return time.process_time() - _clock.cpu + _clock.children, time.monotonic() - _clock.wall
