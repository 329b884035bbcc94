"""One step's tasks: skip what is committed, run the rest, show how it goes."""

import contextlib
import functools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import pyarrow as pa

from pipeline.contract.errors import UserError
from pipeline.engine.ledger import Commit, Ledger
from pipeline.engine.progress import Progress
from pipeline.engine.repair import UnreadableFile, intact_commits
from pipeline.engine.runner import Runner
from pipeline.engine.task_clock import end_task, start_task


class Task(Protocol):
    """The argument of a task function: small, picklable, and named."""

    @property
    def key(self) -> str:
        """Unique in its step; what its commit is called."""


T = TypeVar("T", bound=Task)


def run_tasks(
    runner: Runner,
    out: Path,
    step: str,
    function: Callable[[T], Commit],
    tasks: Sequence[T],
    progress: Progress,
    watch: Callable[[Iterable[Commit]], None] | None = None,
) -> Mapping[str, Commit]:
    """The commits of all `tasks`, by key in sorted order; those that exist are not run again.

    Args:
        runner: runs them.
        out: the run folder.
        step: names the ledger and the progress line, such as `extract` or `dedup-signatures`.
        function: module-level; does one task, publishes its files and returns `Ledger(out, step).commit(...)`.
        tasks: with distinct keys.
        progress: told of every commit.
        watch: told of every commit, those of an earlier run together; what it raises ends the step.
    """
    wanted = {task.key for task in tasks}
    ledger = Ledger(out, step)
    found, problems = ledger.readable()
    for problem in problems:
        _say(f"{problem}; its task is done again")
    before = {key: commit for key, commit in found.items() if key in wanted}
    done = intact_commits(runner, out, before, _say)
    for key in before.keys() - done.keys():
        ledger.undo(key)
    ledger.announce(len(tasks))
    if watch:
        watch(done.values())
    left = [task for task in tasks if task.key not in done]
    with (
        progress.step(step, total=len(tasks), committed=done.values()) as shown,
        contextlib.closing(runner.map(_timed(function, ledger), left)) as commits,  # tasks under way end with the step
    ):
        for commit in commits:
            done[commit.key] = commit
            shown.advance(commit)
            if watch:
                watch([commit])
    return dict(sorted(done.items()))


def _timed(function: Callable[[T], Commit], ledger: Ledger) -> Callable[[T], Commit]:
    """`function`, its task's clock running from the beginning; the name stays, which Ray shows.

    A worker or node may die after a task is committed and before anyone hears of it; what is committed stands.
    """

    @functools.wraps(function)
    def timed(task: T) -> Commit:
        committed = ledger.find(task.key)
        if committed is not None:
            return committed
        start_task()
        try:
            return function(task)
        except (UserError, MemoryError):
            raise
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the system's own
            problem = f"{task.key}: a file of this run cannot be read: {error}"
            raise UnreadableFile(
                f"{problem}\n  build again: files are checked, and the damaged one is made anew"
            ) from error
        finally:
            end_task()

    return timed


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
