"""`tokenmill status OUT`: what is committed, what is left, how fast it goes, what a resumed run would do again."""

import dataclasses
import fcntl
import time
from collections.abc import Mapping
from pathlib import Path

from pipeline.contract.run import Publication, RunRecord
from pipeline.engine.ledger import Ledger, add_counts


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StepStatus:
    """One step."""

    name: str
    committed: int
    tasks: int | None
    """How many there are; None where a run of an older version did not say."""
    lost: int
    """Committed tasks of which a file is missing or has another size: a resumed run does them again."""
    read: int
    kept: int
    counts: Mapping[str, int]
    """Whatever the tasks counted: bands, edges, clusters ..."""
    cpu_seconds: float
    """Of the committed tasks."""
    tasks_per_hour: float | None
    """Since the step was last begun; None before its first commit."""
    seconds_left: float | None
    """At that rate; 0 when nothing is left, None where the rate or the number of tasks is not known."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RunStatus:
    """A run folder at this moment."""

    state: str
    """`running`, `done`, `failed`, or `stopped`: run.json says running, but no build holds the folder."""
    version: str
    inputs: int
    error: str | None
    steps: tuple[StepStatus, ...]


def run_status(out: Path) -> RunStatus:
    """The state of a run.

    Raises:
        InputError: `out` is no run folder.
    """
    record = RunRecord.read(out)
    names = sorted(
        (folder.parent.name for folder in (out / "steps").glob("*/commits")), key=lambda name: _first(out, name)
    )
    state = "stopped" if record.state == "running" and not _held(out) else record.state
    cleared = not _keeps_steps(out, record)
    steps = tuple(_step(out, name, running=state == "running", cleared=cleared) for name in names)
    return RunStatus(state=state, version=record.version, inputs=len(record.inputs), error=record.error, steps=steps)


def _first(out: Path, name: str) -> tuple[float, str]:
    """Sorts steps as they came: by the time of their first commit."""
    return min((path.stat().st_mtime for path in Ledger(out, name).folder.glob("*.json")), default=time.time()), name


def _held(out: Path) -> bool:
    """Whether a build holds the folder's lock."""
    try:
        with (out / ".lock").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no lock file, or a disk without locks
        return False
    return False


def _keeps_steps(out: Path, record: RunRecord) -> bool:
    """Whether OUT/steps still has its files: a run may have been told to clear or not to publish them."""
    publication = Publication.read(out)
    if publication and publication.left_out:
        return False
    return record.state != "done" or bool(record.config.get("run", {}).get("keep_steps", True))


def _step(out: Path, name: str, *, running: bool, cleared: bool) -> StepStatus:
    ledger = Ledger(out, name)
    commits = ledger.committed()
    counts = add_counts(commits)
    tasks, begun = ledger.announced()
    done = len(commits)
    lost = 0 if cleared else sum(not ledger.is_intact(commit) for commit in commits.values())
    rate = _rate(ledger, begun, running=running) if begun else None
    left = None if tasks is None else max(0, tasks - done)
    return StepStatus(
        name=name, committed=done, tasks=tasks, lost=lost, read=counts.get("read", 0), kept=counts.get("kept", 0),
        counts={key: number for key, number in counts.items() if "." not in key},
        cpu_seconds=sum(commit.cpu_seconds for commit in commits.values()),
        tasks_per_hour=None if rate is None else rate * 3600,
        seconds_left=0.0 if left == 0 else left / rate if left and rate else None,
    )  # fmt: skip


def _rate(ledger: Ledger, begun: float, *, running: bool) -> float | None:
    """Tasks a second since the step was begun, by the times of its commits; to now while it runs."""
    times = [path.stat().st_mtime for path in ledger.folder.glob("*.json")]
    recent = [at for at in times if at >= begun]
    if not recent:
        return None
    end = time.time() if running else max(recent)
    return len(recent) / max(end - begun, 1e-3)
