"""SIGINT, SIGTERM and SIGHUP end a run in order.

While no step is under way a command ends at once: nothing of it would be lost. In the loop the signal is noted, the
step finished and saved. Needs no torch, whose import takes seconds, so that a signal is answered during it too.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from pipeline.contract.errors import Stopped

LAUNCHER = "TOKENMILL_LAUNCHER"
"""Environment variable: process id of the launcher, which its processes do not outlive and which reports for them."""

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
ECHO_SECONDS = 2.0
"""A signal again within so long is the same wish: systemd, Slurm and the launcher send it to every process."""

Handler = Callable[[int, FrameType | None], object]


def install_handler(handler: Handler) -> dict[int, Any]:
    """Give the signals to `handler`; returns who had them. What is ignored (SIGHUP under nohup) stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.signal(number, handler) for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN}


@contextlib.contextmanager
def signal_handler(handler: Handler) -> Iterator[None]:
    """The same, while it is open."""
    before = install_handler(handler)
    try:
        yield
    finally:
        for number, one in before.items():
            signal.signal(number, one)


def stop_now(number: int, _: FrameType | None) -> NoReturn:
    """End the process: no step is under way."""
    end_now(number, "no step was under way, so nothing was to be saved; the same command goes on from here")


def end_now(number: int, state: str) -> NoReturn:
    """Say one line and end the process, from within a signal handler."""
    if reports_the_end():
        with contextlib.suppress(OSError):
            os.write(2, f"stopped by {signal.Signals(number).name}; {state}\n".encode())
    os._exit(128 + number)


def started_by_launcher() -> bool:
    """Whether the launcher (`runtime.launch`) started this process and is still there."""
    return os.environ.get(LAUNCHER) == str(os.getppid())


def reports_the_end() -> bool:
    """Whether it is on this process to say how a run ended: one does, for all of them."""
    return not started_by_launcher() and os.environ.get("RANK", "0") == "0"


def stopped_by_signal(number: int, saved: Sequence[Path], steps: int) -> Stopped:
    """A run's end by a signal, with what is on disk.

    Args:
        number: the signal.
        saved: the run's checkpoints, oldest first.
        steps: of the whole run.
    """
    state = "before anything was saved; the same command begins again"
    if saved:
        step = int(saved[-1].name.removeprefix("step-"))
        state = f"step {step:,} of {steps:,} is saved in {saved[-1]}; the same command goes on from there"
    return Stopped(f"{signal.Signals(number).name}; {state}", exit_code=128 + number)


class StopSignals:
    """Notes a signal instead of acting on it; a second one, after ECHO_SECONDS, ends the process at once."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._first = 0.0

    def note(self, number: int, _: FrameType | None) -> None:
        """The handler."""
        if self.received is None:
            self.received, self._first = number, time.monotonic()
        elif not self.echo():
            end_now(number, "a second signal ended it at once, without saving")

    def echo(self) -> bool:
        """Whether a signal that comes now says what the first said."""
        return time.monotonic() - self._first < ECHO_SECONDS
