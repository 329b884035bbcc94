"""Which tasks go to a worker together, and which go out a second time. Knows neither Ray nor the clock.

Tasks of milliseconds go in batches, because a scheduler takes milliseconds for each thing it is given; every task of
a batch commits by itself. A batch ends early when its time is up, and what it has not begun is handed out anew: a long
task among short ones holds up none of them for longer than itself.
"""

import dataclasses
import statistics
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")

BATCH_SECONDS = 5.0
"""A batch is made to take about as long, and begins no further task after it."""
MAX_BATCH_TASKS = 1000
"""Commits of so many tasks, 1 MB, are what one worker sends back at once."""
MIN_FINISHED_BATCHES = 3
"""Batches that must have finished before another can be called slow."""


class TaskQueue(Generic[T]):
    """The tasks of a step that no worker has yet, and how long those took that are done."""

    def __init__(self, tasks: Iterable[T]) -> None:
        self._tasks = deque(tasks)
        self._seconds: list[float] = []
        self._paces: deque[float] = deque(maxlen=9)
        """Seconds a task, of the last batches."""

    def __len__(self) -> int:
        return len(self._tasks)

    def take(self, workers: int) -> tuple[T, ...]:
        """The next batch: as many tasks as fill its time, and no more than a fair share of what is left."""
        size = 1
        if self._paces:
            # The median: the first task of a worker also loads what all need, and is no measure of the others.
            pace = max(statistics.median(self._paces), 1e-6)
            size = int(min(BATCH_SECONDS / pace, MAX_BATCH_TASKS, len(self._tasks) / (4 * workers)))
        return tuple(self._tasks.popleft() for _ in range(min(max(size, 1), len(self._tasks))))

    def requeue(self, tasks: Sequence[T]) -> None:
        """Tasks of a batch that were not begun; they come next."""
        self._tasks.extendleft(reversed(tasks))

    def record_pace(self, done: int, seconds: float) -> None:
        """A batch has done so many tasks in so many seconds."""
        self._seconds.append(seconds)
        self._paces.append(seconds / done)

    def slow_after(self, factor: float | None, min_seconds: float) -> float | None:
        """Seconds after which a batch is a straggler; None while that cannot be said, or without a factor."""
        if factor is None or self._tasks or len(self._seconds) < MIN_FINISHED_BATCHES:
            return None
        return max(min_seconds, factor * statistics.median(self._seconds))


@dataclasses.dataclass(slots=True, eq=False)
class Batch(Generic[T]):
    """Tasks that a worker was given, perhaps two workers."""

    tasks: tuple[T, ...]
    attempts: list[Any] = dataclasses.field(default_factory=list)
    """What the scheduler calls those under way."""
    repeated: bool = False


class RunningBatches(Generic[T]):
    """The batches that workers have."""

    def __init__(self) -> None:
        self.batches: dict[Any, Batch[T]] = {}
        """By attempt."""
        self._since: dict[Any, float] = {}

    def add(self, attempt: Any, batch: Batch[T], now: float) -> None:
        """A batch was given out, at `now` (seconds)."""
        batch.attempts.append(attempt)
        self.batches[attempt], self._since[attempt] = batch, now

    def end(self, attempt: Any) -> Batch[T]:
        """An attempt is over, however it went; its batch."""
        batch = self.batches.pop(attempt)
        del self._since[attempt]
        batch.attempts.remove(attempt)
        return batch

    def stragglers(self, slow_after: float | None, now: float) -> list[Batch[T]]:
        """Batches that have run for longer than `slow_after`, each once: the scheduler begins them where it can."""
        if slow_after is None:
            return []
        slow = [batch for attempt, batch in self.batches.items() if now - self._since[attempt] > slow_after]
        chosen = [batch for batch in slow if not batch.repeated]
        for batch in chosen:
            batch.repeated = True
        return chosen
