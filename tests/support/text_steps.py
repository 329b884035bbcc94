"""Runs line and substring dedup over documents given as rows, without the rest of a build."""

import datetime
import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract.errors import TokenmillError
from pipeline.dedup.lines import LineDedup
from pipeline.engine.ledger import Ledger, add_counts
from pipeline.engine.progress import PlainProgress
from pipeline.engine.runner import LocalRunner
from pipeline.engine.settings import RunSettings
from pipeline.steps.context import Context, Part
from pipeline.steps.tables import document_schema, signals_type
from pipeline.steps.text_dedup import lines as line_dedup
from pipeline.steps.text_dedup import substrings as substring_dedup

SCHEMA = document_schema(signals_type(()))
FIRST_DAY = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)


class KilledError(TokenmillError):
    """The driver is gone."""


class DyingRunner(LocalRunner):
    """Runs tasks of steps until so many are done in all; the engine's own (checking files) are free."""

    def __init__(self, tasks: int) -> None:
        self.left = tasks

    def map(self, function: Any, tasks: Any) -> Any:
        """See LocalRunner."""
        counts = function.__module__.startswith("pipeline.steps")
        for task in tasks:
            if self.left == 0 and counts:
                raise KilledError
            self.left -= counts
            yield function(task)


def document(name: str, text: str, day: int | None = None, url: str = "https://site.example/") -> dict[str, Any]:
    """A row of a documents part."""
    row: dict[str, Any] = dict.fromkeys(SCHEMA.names)
    date = None if day is None else FIRST_DAY + datetime.timedelta(days=day)
    return row | {"id": name, "url": url + name, "warc_path": "", "warc_offset": 0, "cluster_size": 1, "date": date,
                  "dump": "", "language": "", "text": text}  # fmt: skip


class Run:
    """One run of the step of `config` over parts of rows."""

    def __init__(self, out: Path, config: Any, parts: Any, runner: Any = None, **settings: Any) -> None:
        self.step: Any = line_dedup if isinstance(config, LineDedup) else substring_dedup
        self.out = out
        (out / "in").mkdir(parents=True, exist_ok=True)
        for number, rows in enumerate(parts):
            pq.write_table(pa.Table.from_pylist(rows, SCHEMA), out / "in" / f"{number}.parquet")
        stored = [
            Part(key=f"{n:05d}", path=out / "in" / f"{n}.parquet", rows=len(rows)) for n, rows in enumerate(parts)
        ]
        context = Context(
            out=out, settings=RunSettings(**settings), runner=runner or LocalRunner(),
            progress=PlainProgress(quiet=True),
        )  # fmt: skip
        self.step.run(context, stored, config, signals_type((), {self.step.STEP.stage: self.step.STEP.signals}))

    @property
    def kept(self) -> list[dict[str, Any]]:
        """Rows of the documents that stayed."""
        rows: list[dict[str, Any]] = pq.read_table(self.out / self.step.STEP.folder).to_pylist()
        return rows

    @property
    def texts(self) -> dict[str, str]:
        """Their texts by id."""
        return {row["id"]: row["text"] for row in self.kept}

    @property
    def signals(self) -> dict[str, dict[str, float]]:
        """What the step measured, by id."""
        return {row["id"]: row["signals"][self.step.STEP.stage] for row in self.kept}

    @property
    def dropped(self) -> list[dict[str, Any]]:
        """Rows of the documents that left."""
        folder = self.out / "dropped"
        return pq.read_table(folder).to_pylist() if folder.exists() else []

    @property
    def counts(self) -> dict[str, int]:
        """What the commits of the step count."""
        return add_counts(Ledger(self.out, self.step.STEP.name).committed())

    @property
    def bytes(self) -> dict[str, str]:
        """SHA-256 of every file that the next step or a reader sees."""
        paths = [path for folder in (self.step.STEP.folder, "dropped") for path in (self.out / folder).glob("*")]
        return {str(path.relative_to(self.out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
