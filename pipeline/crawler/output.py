"""The folder a crawl leaves: WARC files, each with an index, and `crawl.json`.

An index is renamed to its name before its WARC file, so a WARC file that is there is complete and has its index.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.contract.config import differences
from pipeline.contract.errors import InputError, IntegrityError
from pipeline.contract.manifest import read_json, write_json
from pipeline.crawler.fetch import Failure, Response
from pipeline.crawler.frontier import Entry
from pipeline.crawler.host import Refusal
from pipeline.crawler.settings import CrawlConfig, CrawlSummary
from pipeline.crawler.url import Url
from pipeline.crawler.warc_writer import WarcWriter


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of one URL: one line of an index."""

    url: str
    outcome: str
    """`stored`, or the cause of a failure or refusal."""
    depth: int = 0
    via: str | None = None
    detail: str | None = None
    status: int | None = None
    content_type: str | None = None
    bytes: int | None = None
    """Of the stored body."""
    truncated: str | None = None
    warc: str | None = None
    offset: int | None = None
    length: int | None = None
    """Byte offset and length of the response's gzip member in `warc`."""
    links: tuple[str, ...] = ()
    """URLs that were met here first."""
    ignored: dict[str, int] = field(default_factory=dict)

    @property
    def requested(self) -> bool:
        """Whether the page was asked for."""
        return self.outcome not in REFUSALS

    @property
    def redirect(self) -> bool:
        """Whether `links` is where the server sent us."""
        return self.status in REDIRECTS


REDIRECTS = frozenset({301, 302, 303, 307, 308})
REFUSALS = frozenset({"robots_disallowed", "robots_unreachable", "robots_crawl_delay", "host_unreachable"})


@dataclass
class Tally:
    """Outcomes, counted."""

    requested: int = 0
    stored: int = 0
    bytes: int = 0
    truncated: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    warcs: dict[str, None] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        """Count one more."""
        self.requested += outcome.requested
        self.ignored.update(outcome.ignored)
        if outcome.outcome == "stored":
            self.stored += 1
            self.bytes += outcome.bytes or 0
            self.truncated += outcome.truncated is not None
            self.statuses[str(outcome.status)] += 1
            self.warcs[str(outcome.warc)] = None
        else:
            (self.failed if outcome.requested else self.refused)[outcome.outcome] += 1

    def summary(self) -> CrawlSummary:
        """The counts so far, with sorted keys."""
        values = {name: getattr(self, name) for name in (item.name for item in dataclasses.fields(self))}
        sorts = {name: dict(sorted(value.items())) for name, value in values.items() if isinstance(value, Counter)}
        return CrawlSummary(**{**values, **sorts, "warcs": tuple(self.warcs)})


class CrawlFolder:
    """Writes the outcomes of a crawl; hands back those of its earlier attempts."""

    def __init__(self, folder: Path, config: CrawlConfig) -> None:
        self.folder, self.config = folder, config
        self.fixed_date = config.fixed_date()
        self._number = 0
        self._lines: list[str] = []
        self._warc: WarcWriter | None = None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process; an unfinished file is deleted on the way out.

        Raises:
            InputError: another crawl holds it, or it holds something else.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(str(self.folder), "another crawl is writing here") from None
            self._check()
            yield
        finally:
            if self._warc is not None:
                self._warc.abandon()
                self._warc = None
            os.close(handle)

    def finished(self) -> CrawlSummary | None:
        """The summary of a crawl that is done."""
        tree = read_json(self._state_file)
        return (
            CrawlSummary(**{**tree["summary"], "warcs": tuple(tree["summary"]["warcs"])}) if tree["summary"] else None
        )

    def read_outcomes(self) -> list[Outcome]:
        """The outcomes in complete files; new ones go into the file after them.

        Raises:
            IntegrityError: a file's index is missing.
        """
        outcomes: list[Outcome] = []
        while self._path("warc.gz").exists():
            if not self._path("jsonl").exists():
                raise IntegrityError(f"{self._path('warc.gz')}: its index {self._path('jsonl').name} is missing")
            for line in self._path("jsonl").read_text(encoding="utf-8").splitlines():
                tree = json.loads(line)
                outcomes.append(Outcome(**{**tree, "links": tuple(tree.get("links", ()))}))
            self._number += 1
        return outcomes

    def write(
        self, entry: Entry, result: Response | Failure | Refusal, links: Sequence[Url], ignored: dict[str, int]
    ) -> Outcome:
        """Add one outcome; a response goes into the WARC file, which is finished when it is full."""
        common: dict[str, Any] = {"url": entry.url.text, "depth": entry.depth, "via": entry.via, "ignored": ignored}
        if isinstance(result, Response):
            outcome = Outcome(**common, **self._store(entry, result), links=tuple(url.text for url in links))
        else:
            outcome = Outcome(**common, outcome=result.cause, detail=result.detail or None)
        tree = {key: value for key, value in dataclasses.asdict(outcome).items() if value not in (None, (), {})}
        self._lines.append(json.dumps(tree, ensure_ascii=False))
        if self._warc is not None and self._warc.pages >= self.config.per_warc:
            self._commit()
        return outcome

    def finish(self, summary: CrawlSummary) -> None:
        """Complete the last file and say that the crawl is done."""
        if self._lines:
            self._commit()
        self._write_state(dataclasses.asdict(summary))

    def _store(self, entry: Entry, response: Response) -> dict[str, Any]:
        if self._warc is None:
            info = {
                "isPartOf": self.config.name,
                "software": "tokenmill crawl",
                "robots": "RFC 9309",
                "http-header-user-agent": self.config.user_agent,
                "format": "WARC File Format 1.0",
            }
            self._warc = WarcWriter(self._path("warc.gz"), info=info, date=self.fixed_date or response.date)
        notes = {"via": entry.via} if entry.via else {}
        if self.fixed_date is None:
            notes["fetchTimeMs"] = str(round(response.seconds * 1000))
        position = self._warc.write(entry.url.text, response, self.fixed_date or response.date, notes)
        return {
            "outcome": "stored",
            "status": response.status,
            "content_type": response.header("Content-Type"),
            "bytes": len(response.body),
            "truncated": response.truncated,
            "warc": self._warc.path.name,
            "offset": position.offset,
            "length": position.length,
        }

    def _commit(self) -> None:
        index = self._path("jsonl")
        temporary = index.with_name(f"{index.name}.open")
        temporary.write_text("".join(f"{line}\n" for line in self._lines), encoding="utf-8")
        temporary.replace(index)
        if self._warc is not None:
            self._warc.commit()
        self._warc, self._lines = None, []
        self._number += 1

    def _check(self) -> None:
        """Refuse a folder that another crawl or something else has filled; else say what this crawl is."""
        if not self._state_file.exists():
            if any(not path.name.startswith(".") for path in self.folder.iterdir()):
                hint = "give a new folder, or that of a crawl to go on with"
                raise InputError(str(self.folder), "is not empty and holds no crawl", hint=hint)
            self._write_state(None)
        changed = differences(read_json(self._state_file)["settings"], json.loads(json.dumps(self.config.fixed())))
        if changed:
            hint = "crawl into a new folder, or with the settings this one was begun with"
            raise InputError(str(self.folder), f"holds a crawl with other settings: {'; '.join(changed)}", hint=hint)

    def _write_state(self, summary: dict[str, Any] | None) -> None:
        state = "running" if summary is None else "done"
        write_json(self._state_file, {"state": state, "settings": self.config.fixed(), "summary": summary})

    @property
    def _state_file(self) -> Path:
        return self.folder / "crawl.json"

    def _path(self, suffix: str) -> Path:
        return self.folder / f"{self.config.name}-{self._number:05d}.{suffix}"
