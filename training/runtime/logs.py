"""What a run writes down: metrics.jsonl, samples.jsonl, TensorBoard, and lines or a bar on the screen."""

import fcntl
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline.contract.errors import ConfigError

Row = Mapping[str, Any]


class Logs(Protocol):
    """Where the loop reports to."""

    def metrics(self, step: int, values: Row) -> None:
        """Numbers measured after `step` updates."""

    def sample(self, step: int, prompt: str, text: str) -> None:
        """Text the model wrote."""

    def say(self, message: str) -> None:
        """A line for whoever watches."""

    def close(self) -> None:
        """Flush everything."""


class NoLogs:
    """For the processes that do not report."""

    def metrics(self, step: int, values: Row) -> None:
        """See Logs."""

    def sample(self, step: int, prompt: str, text: str) -> None:
        """See Logs."""

    def say(self, message: str) -> None:
        """See Logs."""

    def close(self) -> None:
        """See Logs."""


class RunLogs:
    """Logs of a run folder, which one run at a time may write to.

    Args:
        folder: the run's output folder.
        first: updates done so far; rows of later ones, from before a resume, are dropped.
        steps: updates of the whole run.

    Raises:
        ConfigError: another run writes to `folder`.
    """

    def __init__(self, folder: Path, *, first: int, steps: int, tensorboard: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(folder)
        self._metrics = _open_rows(folder / "metrics.jsonl", first)
        self._samples = _open_rows(folder / "samples.jsonl", first)
        self._board = _tensorboard(folder / "tensorboard", first) if tensorboard else None
        self._screen = Screen(first, steps)

    def metrics(self, step: int, values: Row) -> None:
        """See Logs."""
        _write_row(self._metrics, {"step": step, **values})
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, (int, float)):
                    self._board.add_scalar(name, value, step)
        self._screen.metrics(step, values)

    def sample(self, step: int, prompt: str, text: str) -> None:
        """See Logs."""
        _write_row(self._samples, {"step": step, "prompt": prompt, "text": text})
        if self._board is not None:
            self._board.add_text("sample", f"**{prompt}**{text}", step)
        self._screen.say(f"step {step} sample: {prompt}{text}")

    def say(self, message: str) -> None:
        """See Logs."""
        self._screen.say(message)

    def close(self) -> None:
        """See Logs."""
        self._metrics.close()
        self._samples.close()
        if self._board is not None:
            self._board.close()
        self._screen.close()
        self._lock.close()


def _lock(folder: Path) -> TextIO:
    """A lock that ends with this process, however it ends."""
    lock = (folder / ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        problem = f"another run is writing to {folder}"
        raise ConfigError("run.output", problem, hint="wait for it, stop it, or give another folder") from None
    return lock


def _tensorboard(folder: Path, first: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter  # heavy

    return SummaryWriter(str(folder), purge_step=first + 1)


def _open_rows(path: Path, first: int) -> TextIO:
    """A jsonl file to append to, its rows of steps after `first` (and a torn last line) dropped."""
    kept = []
    if path.exists():
        for line in path.read_bytes().decode(errors="replace").split("\n"):
            if _step_of(line) <= first:
                kept.append(line + "\n")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text("".join(kept), encoding="utf-8")
    temporary.replace(path)
    return path.open("a", encoding="utf-8")


def _step_of(line: str) -> float:
    try:
        row = json.loads(line)
        return float(row["step"])
    except (ValueError, TypeError, KeyError):  # torn by a kill
        return float("inf")


def _write_row(sink: TextIO, row: Row) -> None:
    sink.write(json.dumps(row, ensure_ascii=False) + "\n")
    sink.flush()


class _Console(Console):
    """rich would end the process when nobody reads its output any more."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class Screen:
    """A bar on a terminal, plain lines elsewhere. A screen that goes away (a closed pipe or terminal) ends no run."""

    def __init__(self, first: int, steps: int) -> None:
        self._steps, self._there = steps, True
        self._console = _Console(file=sys.stderr)
        self._bar: Progress | None = None
        if self._console.is_terminal:
            columns = ("training", BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[facts]}"))
            self._bar = Progress(*columns, TimeRemainingColumn(), console=self._console)
            self._task = self._bar.add_task("training", total=steps, completed=first, facts="")
            self._bar.start()

    def metrics(self, step: int, values: Row) -> None:
        """Show the row."""
        facts = " ".join(_fact(name, value) for name, value in values.items() if name in _SHOWN)
        bar = self._bar
        if bar is not None and "loss" in values:
            self._try(lambda: bar.update(self._task, completed=step, facts=facts))
        else:
            self.say(f"step {step}/{self._steps} {facts}")

    def say(self, message: str) -> None:
        """Show a line."""
        self._try(lambda: self._console.print(message, markup=False, highlight=False, soft_wrap=True))

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._try(self._bar.stop)

    def _try(self, show: Callable[[], object]) -> None:
        if self._there:
            try:
                show()
            except OSError:
                self._there = False  # metrics.jsonl has it all


_SHOWN = {
    "loss": ("loss", "{:.4f}"),
    "learning_rate": ("rate", "{:.2e}"),
    "gradient_norm": ("norm", "{:.3f}"),
    "tokens_per_second": ("tok/s", "{:,.0f}"),
    "mfu": ("MFU", "{:.1%}"),
    "memory_gib": ("GiB", "{:.1f}"),
    "validation_loss": ("validation loss", "{:.4f}"),
    "bits_per_byte": ("bits per byte", "{:.4f}"),
}


def _fact(name: str, value: Any) -> str:
    label, form = _SHOWN[name]
    return f"{label} {form.format(value)}"
