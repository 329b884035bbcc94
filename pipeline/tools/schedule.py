"""How long steps of tasks take on so many workers: what the sum of their CPU time does not say.

A step begins when the one before it has ended, and a task is done by one worker. So no step is over before its longest
task, and workers beyond the number of tasks have nothing to do.
"""

import dataclasses
import heapq
from collections.abc import Mapping, Sequence


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """Steps one after another, as the runner hands their tasks out."""

    hours: float
    """From the beginning of the first step to the end of the last one."""
    tasks: int
    """Of the step with the most: the most workers that have work at a time."""
    longest_task_hours: float
    """Of all steps."""


def schedule(steps: Mapping[str, Sequence[float]], workers: int) -> Schedule:
    """The schedule of steps whose tasks take so many hours each, in the order in which they are handed out."""
    return Schedule(
        hours=sum(makespan(tasks, workers) for tasks in steps.values()),
        tasks=max(map(len, steps.values()), default=0),
        longest_task_hours=max((max(tasks) for tasks in steps.values() if tasks), default=0.0),
    )


def makespan(tasks: Sequence[float], workers: int) -> float:
    """When the last task ends, each going to the worker that is free first (list scheduling: Graham 1969)."""
    if len(tasks) <= workers:
        return max(tasks, default=0.0)
    free = [0.0] * workers
    for hours in tasks:
        heapq.heapreplace(free, free[0] + hours)
    return max(free)


def split_by_size(total: float, sizes: Sequence[float]) -> list[float]:
    """`total` by size; equally, where nothing has a size."""
    sum_of_sizes = sum(sizes)
    return [total * size / sum_of_sizes if sum_of_sizes else total / len(sizes) for size in sizes]
