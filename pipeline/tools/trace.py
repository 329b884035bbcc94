"""`tokenmill trace`: from a URL or domain to what became of its pages and where their tokens are, and back."""

import dataclasses
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.contract.errors import InputError
from pipeline.contract.run import RunRecord
from pipeline.contract.shards import docs_path, open_shards
from pipeline.contract.tables import read_batches, read_table
from pipeline.steps.registry import OPTIONAL

Outcome = Literal["kept", "dropped", "quarantined"]
COPIES = "payload_digest"
"""The stage whose drops name the page that went on instead."""
_FOLDERS: dict[Outcome, str] = {"kept": "documents", "dropped": "dropped", "quarantined": "quarantine"}
_COLUMNS: dict[Outcome, list[str]] = {
    "kept": ["token_count", "copies", "cluster_size", "cluster_id", "language"],
    "dropped": ["step", "stage", "reason", "value", "limit", "detail", "estimate", "match_url", "match_run"],
    "quarantined": ["step", "stage", "cause", "seconds"],
}
_TAKEN_OUT = [f"signals.{step.stage}" for step in OPTIONAL]


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """Where a document's tokens are."""

    shard: str
    start: int
    length: int


@dataclasses.dataclass(frozen=True, slots=True)
class Trace:
    """One candidate: where it came from, what became of it, where its tokens are."""

    id: str
    url: str
    warc_path: str
    warc_offset: int
    outcome: Outcome
    details: dict[str, Any]
    spans: tuple[Span, ...] = ()


def trace_url(out: Path, url: str) -> list[Trace]:
    """Every candidate with exactly this URL.

    Raises:
        InputError: `out` is no run folder.
    """
    return _find(out, lambda table: pc.equal(table["url"], url))


def trace_domain(out: Path, domain: str) -> list[Trace]:
    """Every candidate of a domain, its subdomains included."""
    wanted = domain.lower().strip(".")
    return _find(out, lambda table: pa.array([in_domain(url, wanted) for url in table["url"].to_pylist()], pa.bool_()))


def trace_position(out: Path, shard: str, position: int) -> Trace:
    """The document that a token belongs to.

    Args:
        out: the run folder.
        shard: file name (`00000.ds`) or number of the shard.
        position: of the token in the shard, from 0.

    Raises:
        InputError: there is no such shard or position.
    """
    name = f"{int(shard):05d}.ds" if shard.isdecimal() else shard
    shards = {found.path.name: found for found in open_shards(out / "tokens").shards}
    if name not in shards:
        raise InputError(f"--shard {shard}", f"{out / 'tokens'} has no such shard", known=sorted(shards)[:20])
    try:
        number = shards[name].document_at(position)
    except IndexError as error:
        raise InputError(f"--position {position}", str(error)) from error
    row = shards[name].docs().slice(number, 1).to_pylist()[0]
    span = Span(name, row["start"], row["length"])
    found = [trace for trace in trace_url(out, row["url"]) if trace.id == row["id"]]
    details = found[0].details if found else {}
    return Trace(row["id"], row["url"], row["warc_path"], row["warc_offset"], "kept", details, (span,))


def in_domain(url: str, domain: str) -> bool:
    """Whether the URL's host is `domain` or one of its subdomains."""
    try:
        host = (urllib.parse.urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return False
    return host == domain or host.endswith("." + domain)


def _find(out: Path, chosen: Callable[[pa.Table], Any]) -> list[Trace]:
    RunRecord.read(out)
    rows = [(outcome, row) for outcome in _FOLDERS for row in _rows(out, outcome, chosen)]
    originals = _outcomes_of(out, [row["detail"] for _, row in rows if row.get("stage") == COPIES])
    kept = {row["id"] for outcome, row in rows if outcome == "kept"}
    spans = _spans(out, kept) if kept else {}
    return [
        Trace(
            row["id"],
            row["url"],
            row["warc_path"],
            row["warc_offset"],
            outcome,
            {name: row[name] for name in _COLUMNS[outcome] if row[name] is not None}
            | _removed_text(row)
            | originals.get(row.get("detail"), {}),
            tuple(spans.get(row["id"], ())) if outcome == "kept" else (),
        )
        for outcome, row in rows
    ]


def _outcomes_of(out: Path, ids: Sequence[str]) -> dict[str | None, dict[str, Any]]:
    """What became of the pages that went on instead of their copies, by id: the copies share it."""
    wanted = pa.array(sorted(set(ids)), pa.string())
    return {
        row["id"]: {"original_url": row["url"], "original_outcome": _describe_outcome(outcome, row)}
        for outcome in (_FOLDERS if len(wanted) else ())
        for row in _rows(out, outcome, lambda table: pc.is_in(table["id"], value_set=wanted))
        if row.get("stage") != COPIES
    }


def _removed_text(row: dict[str, Any]) -> dict[str, int]:
    """What optional steps took out of a document, where they took anything."""
    measured = (row.get("signals") or {}).items()
    return {
        f"{stage}.{name}": int(value) for stage, values in measured for name, value in (values or {}).items() if value
    }


def _describe_outcome(outcome: Outcome, row: dict[str, Any]) -> str:
    if outcome == "kept":
        return "kept"
    return (
        f"quarantined: {row['cause']}"
        if outcome == "quarantined"
        else ".".join(("dropped: " + row["step"], row["stage"], row["reason"]))
    )


def _rows(out: Path, outcome: Outcome, chosen: Callable[[pa.Table], Any]) -> Iterator[dict[str, Any]]:
    columns = ["id", "url", "warc_path", "warc_offset", *_COLUMNS[outcome], *_TAKEN_OUT]  # those that are there
    for path in sorted((out / _FOLDERS[outcome]).glob("part-*.parquet")):
        for table in read_batches(path, columns):
            yield from table.filter(chosen(table)).to_pylist()


def _spans(out: Path, ids: Sequence[str] | set[str]) -> dict[str, list[Span]]:
    wanted, found = pa.array(sorted(ids)), dict[str, list[Span]]()
    for shard in open_shards(out / "tokens").shards:
        table = read_table(docs_path(shard.path), columns=["id", "start", "length"])
        for row in table.filter(pc.is_in(table["id"], value_set=wanted)).to_pylist():
            found.setdefault(row["id"], []).append(Span(shard.path.name, row["start"], row["length"]))
    return found
