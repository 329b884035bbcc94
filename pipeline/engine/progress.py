"""How far a run is: a live line per step on a terminal, plain lines in a log."""

import contextlib
import datetime
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pipeline
from pipeline.contract.errors import UserError
from pipeline.engine.ledger import Commit

if TYPE_CHECKING:  # 20 ms: page processes and quiet runs draw no bars
    from rich.console import Console

# In a log, a line per step every so often is enough.
PLAIN_SECONDS = 15.0


class StepProgress(Protocol):
    """One step under way."""

    def advance(self, commit: Commit) -> None:
        """One more task is committed."""


class Progress(Protocol):
    """Where steps report to."""

    def step(
        self, name: str, total: int, committed: Iterable[Commit] = ()
    ) -> contextlib.AbstractContextManager[StepProgress]:
        """Show the step `name` of `total` tasks; those `committed` were done by an earlier run."""


class Tally:
    """What the commits of a step add up to, as one line of text."""

    def __init__(self, total: int, committed: Iterable[Commit]) -> None:
        self.total, self.done, self.resumed = total, 0, 0
        self._counts: dict[str, int] = {}
        for commit in committed:
            self.add(commit)
        self.resumed = self.done

    def add(self, commit: Commit) -> None:
        """Count one commit."""
        self.done += 1
        for name, number in commit.counts.items():
            self._counts[name] = self._counts.get(name, 0) + number

    def text(self) -> str:
        """Such as `1,015 read, 131 kept (12.9%), 2 quarantined`."""
        get = self._counts.get
        if "read" not in self._counts:
            return ", ".join(f"{number:,} {name}" for name, number in self._counts.items() if "." not in name)
        parts = [f"{get('read', 0):,} read", f"{get('kept', 0):,} kept ({get('kept', 0) / max(get('read', 0), 1):.1%})"]
        parts += [f"{number:,} {name}" for name in ("quarantined", "tokens") if (number := get(name, 0))]
        return ", ".join(parts)


def _print_line(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _discard(line: str) -> None:
    """Quiet."""


class PlainProgress:
    """Lines of text, for logs and pipes."""

    def __init__(self, quiet: bool = False, say: Callable[[str], None] | None = None) -> None:
        self._print_line = say or (_discard if quiet else _print_line)

    @contextlib.contextmanager
    def step(self, name: str, total: int, committed: Iterable[Commit] = ()) -> Iterator[StepProgress]:
        """See Progress."""
        tally = Tally(total, committed)
        start = last = time.monotonic()

        class PlainStep:
            def advance(inner, commit: Commit) -> None:
                nonlocal last
                tally.add(commit)
                if time.monotonic() - last > PLAIN_SECONDS:
                    last = time.monotonic()
                    self._print_line(f"{name}: {tally.done}/{total} tasks, {tally.text()}")

        yield PlainStep()
        resumed = f" ({tally.resumed} from before)" if tally.resumed else ""
        self._print_line(
            f"{name}: {tally.done}/{total} tasks{resumed}, {tally.text()}, {time.monotonic() - start:.1f} s"
        )


class LiveProgress:
    """A bar per step on a terminal."""

    def __init__(self, console: "Console") -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._bars = RichProgress(
            TextColumn("[bold]{task.description:<18}"), BarColumn(bar_width=24), MofNCompleteColumn(),
            TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("[dim]{task.fields[tally]}"), console=console,
        )  # fmt: skip
        self._bars.start()

    @contextlib.contextmanager
    def step(self, name: str, total: int, committed: Iterable[Commit] = ()) -> Iterator[StepProgress]:
        """See Progress."""
        tally = Tally(total, committed)
        bar = self._bars.add_task(name, total=total, completed=tally.done, tally=tally.text())

        class LiveStep:
            def advance(inner, commit: Commit) -> None:
                tally.add(commit)
                self._bars.update(bar, completed=tally.done, tally=tally.text())

        yield LiveStep()
        self._bars.update(bar, completed=tally.done, tally=tally.text())

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bars.stop()


class SharedProgress:
    """The same told to several."""

    def __init__(self, members: Sequence[Progress]) -> None:
        self._members = members

    @contextlib.contextmanager
    def step(self, name: str, total: int, committed: Iterable[Commit] = ()) -> Iterator[StepProgress]:
        """See Progress."""
        commits = list(committed)
        with contextlib.ExitStack() as stack:
            steps = [stack.enter_context(member.step(name, total, commits)) for member in self._members]

            class SharedStep:
                def advance(inner, commit: Commit) -> None:
                    for step in steps:
                        step.advance(commit)

            yield SharedStep()


@contextlib.contextmanager
def open_progress(quiet: bool = False, log: Path | None = None, warnings: Sequence[str] = ()) -> Iterator[Progress]:
    """Bars on a terminal, lines elsewhere; with `log`, lines with the time in that file besides, beginning and end too.

    Args:
        quiet: nothing on the terminal.
        log: a file to add to; its folder is made.
        warnings: lines for the log.
    """
    with contextlib.ExitStack() as stack:
        members: list[Progress] = [stack.enter_context(_shown(quiet))]
        if log is not None:
            say = stack.enter_context(_logged(log))
            for line in warnings:
                say(f"warning: {line}")
            members.append(PlainProgress(say=say))
        yield SharedProgress(members)


@contextlib.contextmanager
def _shown(quiet: bool) -> Iterator[Progress]:
    if quiet:
        yield PlainProgress(quiet)
        return
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield PlainProgress(quiet)
        return
    live = LiveProgress(console)
    try:
        yield live
    finally:
        live.close()


@contextlib.contextmanager
def _logged(log: Path) -> Iterator[Callable[[str], None]]:
    """A function that adds lines to the log; what the block raises is logged, and raised."""
    log.parent.mkdir(parents=True, exist_ok=True)

    def say(line: str) -> None:
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        try:
            with log.open("a", encoding="utf-8") as sink:
                sink.write(f"{at} {line}\n")
        except OSError as error:  # the disk is full, or someone took the run folder away
            raise UserError(str(log), f"cannot be written: {error.strerror or error}") from error

    # Not the command line: it may hold keys of a store.
    say(f"begun, tokenmill {pipeline.__version__}, process {os.getpid()} on {platform.node()}")
    try:
        yield say
    except BaseException as error:
        with contextlib.suppress(UserError):  # of a full disk the first error says more
            say(f"ended: {type(error).__name__}: {error}")
        raise
    say("ended well")
