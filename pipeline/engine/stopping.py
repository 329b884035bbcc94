"""SIGINT, SIGTERM and SIGHUP end a build in order: tasks under way are given up, what is committed stays."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from pipeline.contract.errors import Stopped
from pipeline.engine.ledger import Ledger

_current: list["_Listener"] = []
"""The one that listens."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Listener:
    """Interrupts the main thread when a signal comes; a second one does not wait for order."""

    def __init__(self) -> None:
        self.received: int | None = None

    def listen(self) -> None:
        """Take the signals over; again after a library has (Ray does, and prints a C++ trace on SIGTERM)."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                signal.signal(number, self._stop)

    def _stop(self, number: int, _: FrameType | None) -> None:
        if self.received is not None:
            os._exit(1)
        self.received = number
        raise KeyboardInterrupt  # the one exception that Ray lets out of its waiting


@contextlib.contextmanager
def stoppable(out: Path) -> Iterator[Callable[[], None]]:
    """While it is open the build of `out` can be stopped; yields what to call once Ray has started.

    Raises:
        Stopped: a signal came.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    listener = _Listener()
    listener.listen()
    _current.append(listener)
    try:
        yield listener.listen
        raise_if_stopped()
    except BaseException as error:
        # A library that is being imported may turn the interrupt into an error of its own.
        if listener.received is None and not isinstance(error, KeyboardInterrupt):
            raise
        name = signal.Signals(listener.received or signal.SIGINT).name
        raise Stopped(f"{name}; {progress_of(out)}; the same command goes on from here") from None
    finally:
        _current.remove(listener)
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def raise_if_stopped() -> None:
    """Raise KeyboardInterrupt where a signal came whose interrupt was swallowed, as an import inside C code does."""
    if any(listener.received is not None for listener in _current):
        raise KeyboardInterrupt


def progress_of(out: Path) -> str:
    """How far the step is that was begun last, such as `extract: 3 of 40 tasks committed`."""
    begun = []
    for note in (out / "steps").glob("*/tasks.json"):
        tasks, since = Ledger(out, note.parent.name).announced()
        begun.append((since or 0.0, note.parent.name, tasks or 0))
    if not begun:
        return "nothing is committed yet"
    _, step, tasks = max(begun)
    committed = sum(1 for _ in Ledger(out, step).folder.glob("*.json"))
    return f"{step}: {committed} of {tasks} tasks committed"
