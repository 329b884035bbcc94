"""Publishing the files of a task, and the commit that names them."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.engine.ledger import Commit, FileEntry, Ledger
from pipeline.steps.context import Commits
from pipeline.storage.files import write_atomic


def publish(out: Path, name: str, write: Callable[[Path], object]) -> FileEntry:
    """The file that `write` writes, under its name relative to `out`."""
    info = write_atomic(out / name, write)
    return FileEntry(path=name, bytes=info.bytes, sha256=info.sha256)


def commit_file(
    out: Path,
    step: str,
    key: str,
    write: Callable[[Path], object],
    start: float,
    counts: Mapping[str, int],
    notes: Mapping[str, Any] | None = None,
) -> Commit:
    """Publish the one file of a task and commit; `counts` and `notes` are read after the file is written."""
    entry = publish(out, f"steps/{step}/files/{key}", write)
    commit = Commit(key=key, files=(entry,), counts=counts, seconds=cpu_seconds_since(start), notes=notes or {})
    return Ledger(out, step).commit(commit)


def committed_files(out: Path, commits: Commits) -> tuple[Path, ...]:
    """The one file of each commit."""
    return tuple(out / commit.files[0].path for commit in commits.values())


def edge_files(out: Path, commits: Commits) -> dict[Path, int]:
    """The one file of each commit, and how many edges it has."""
    return {out / commit.files[0].path: commit.counts["edges"] for commit in commits.values()}


def cpu_seconds_since(start: float) -> dict[str, float]:
    """CPU seconds since `start` (of `time.process_time`), as a commit says them."""
    return {"total": round(time.process_time() - start, 6)}
