"""The run folder as the explorer sees it: listings and `run.json`, read again when they change.

Parts are found by listing a folder, never by a name that a request gives: that is only looked up in the listing.
"""

import dataclasses
import os
import re
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract.run import RunRecord
from pipeline.explore.scan import Part
from pipeline.steps.registry import STEPS

TABLES = ("documents", "dropped", "quarantine")
NUMBERS = ("token_count", "cluster_size", "language_score", "copies")
_NAME = re.compile(r"part-([A-Za-z0-9_-]+)\.parquet")
_EMPTY = "none"


@dataclasses.dataclass(slots=True)
class Folder:
    """A run folder; shared by the threads of the server."""

    out: Path
    _cache: dict[str, tuple[int, Any]] = dataclasses.field(default_factory=dict)
    _lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def record(self) -> RunRecord:
        """The run's record; raises InputError where it cannot be read."""
        found: RunRecord = self._cached("run.json", lambda: RunRecord.read(self.out))
        return found

    def parts(self, folder: str) -> dict[str, Part]:
        """The parts of a folder of the run by name, sorted; none where it is not there."""
        found: dict[str, Part] = self._cached(folder, lambda: _list(self.out / folder))
        return found

    def numbers(self) -> list[str]:
        """The columns of documents that can be compared with a number: signals, and a few more."""
        found: list[str] = self._cached(
            "documents", lambda: _numbers(list(self.parts("documents").values())), "numbers"
        )
        return found

    def reasons(self) -> list[tuple[str, str, str]]:
        """(step, stage, reason) of what the run dropped, most frequent first; empty until a run is done."""
        return [split for split, _ in self.counted_reasons()]

    def counted_reasons(self) -> list[tuple[tuple[str, str, str], int]]:
        """The same, each with its documents."""
        ranked = sorted(self.record().totals.dropped.items(), key=lambda item: (-item[1], item[0]))
        return [(split_reason(name), count) for name, count in ranked]

    def quarantined_in(self) -> dict[str, list[Part]]:
        """Parts of quarantine by step."""
        found: dict[str, list[Part]] = {}
        for name, part in self.parts("quarantine").items():
            found.setdefault(step_of(name), []).append(part)
        return found

    def _cached(self, name: str, make: Any, what: str = "") -> Any:
        try:
            changed = (self.out / name).stat().st_mtime_ns
        except OSError:
            changed = 0
        with self._lock:
            known = self._cache.get(f"{name} {what}")
        if known is None or known[0] != changed:
            known = (changed, make())
            with self._lock:
                self._cache[f"{name} {what}"] = known
        return known[1]


def split_reason(name: str) -> tuple[str, str, str]:
    """`filter.my.module.Stage.too_bad` is step, stage and reason: only a stage's name may have dots."""
    step, _, rest = name.partition(".")
    stage, _, reason = rest.rpartition(".")
    return step, stage, reason


def step_of(part: str) -> str:
    """The step that wrote a part of dropped or quarantine: `extract` of `extract-00017`."""
    return next((step.name for step in STEPS if part.startswith(f"{step.name}-")), "")


def key_of(part: str) -> str:
    """What a part is called in every step: `00017`."""
    return part.removeprefix(f"{step_of(part)}-")


def _list(folder: Path) -> dict[str, Part]:
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if _NAME.fullmatch(entry.name) and _plain(entry))
    parts = (Part(name[len("part-") : -len(".parquet")], folder / name) for name in names)
    return {part.name: part for part in parts if part.name != _EMPTY}


def _plain(entry: os.DirEntry[str]) -> bool:
    """A link could lead out of the folder of a stranger."""
    return entry.is_file(follow_symlinks=False)


def _numbers(parts: list[Part]) -> list[str]:
    for part in parts[:5]:
        try:
            schema = pq.read_schema(part.path)
        except (OSError, pa.ArrowException):
            continue  # a page that scans it says so
        names = [name for name in NUMBERS if name in schema.names]
        kind = schema.field("signals").type if "signals" in schema.names else pa.struct([])
        for stage in kind if pa.types.is_struct(kind) else ():
            if pa.types.is_struct(stage.type):
                names += [f"{stage.name}.{signal.name}" for signal in stage.type]
        return names
    return []
