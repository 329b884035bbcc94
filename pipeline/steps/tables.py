"""The tables of a run folder: their columns, and the way from a Document to a row and back."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.document import Document, Drop, QualityStage, Stage
from pipeline.stages import name_of
from pipeline.storage.files import write_table

READ_BATCH = 256
EMPTY_PART = "part-none.parquet"
"""Written where a run dropped or quarantined nothing; the one part that no commit names."""

DROPPED_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("url", pa.string()),
        ("warc_path", pa.string()),
        ("warc_offset", pa.int64()),
        ("step", pa.string()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("value", pa.float64()),
        ("limit", pa.float64()),
        ("detail", pa.string()),
        ("text", pa.string()),
        ("estimate", pa.float64()),
        ("match_url", pa.string()),
        ("match_run", pa.string()),
    ]
)
"""`detail`: the domain, word, n-gram or document that matched; `text`: null unless `run.dropped_text`. `estimate`:
the Jaccard similarity as estimated from sketches, where `value` is the exact one (`dedup.minhash.verify`, and documents
that a previous run has). The last two are for those (`dedup.previous_runs`): the address and run folder of the document
in `detail`."""

QUARANTINE_SCHEMA = pa.schema(
    [
        ("warc_path", pa.string()),
        ("warc_offset", pa.int64()),
        ("url", pa.string()),
        ("stage", pa.string()),
        ("cause", pa.string()),
        ("seconds", pa.float64()),
        ("id", pa.string()),
        ("step", pa.string()),
    ]
)

PII_COUNTS = pa.list_(pa.struct([("type", pa.string()), ("count", pa.int32())]))
"""How often each type of personal data was replaced. No map: Hugging Face `datasets` reads none."""


class Place(TypedDict):
    """Where a candidate came from."""

    id: str
    url: str
    warc_path: str
    warc_offset: int


PLACE: tuple[Literal["id", "url", "warc_path", "warc_offset"], ...] = ("id", "url", "warc_path", "warc_offset")


class PiiCount(TypedDict):
    """How often one type of personal data was replaced."""

    type: str
    count: int


class DocumentRow(Place):
    """A row of documents, as every step but the last writes it."""

    date: datetime.datetime | None
    dump: str
    warc_length: int
    text: str
    language: str
    language_score: float
    signals: Mapping[str, Mapping[str, float]] | None
    cluster_size: int
    cluster_id: str | None
    pii_counts: list[PiiCount]


class FinalRow(DocumentRow):
    """A row of OUT/documents."""

    token_count: int
    copies: int


class DroppedRow(Place):
    """A row of dropped, but for what only dedup fills in."""

    step: str
    stage: str
    reason: str
    value: float | None
    limit: float | None
    detail: str | None
    text: str | None


class QuarantineRow(Place):
    """A row of quarantine."""

    step: str
    stage: str
    cause: str
    seconds: float | None


def signals_type(stages: Sequence[Stage], more: Mapping[str, Sequence[str]] | None = None) -> pa.DataType:
    """The struct of all quality stages' raw values, and of `more`: stage name -> signal name -> float64.

    In float32 a share that lies exactly on its limit would fall on the other side when the limit is swept.
    """
    structs = [
        (name_of(type(stage)), pa.struct([(signal, pa.float64()) for signal in stage.SIGNALS]))
        for stage in stages
        if isinstance(stage, QualityStage)
    ]
    structs += [(name, pa.struct([(signal, pa.float64()) for signal in names])) for name, names in (more or {}).items()]
    # Parquet has no empty struct; a run without quality stages gets one that says so.
    return pa.struct(structs or [("none", pa.float64())])


def document_schema(signals: pa.DataType, *, final: bool = False) -> pa.Schema:
    """Columns of a documents part; `final` adds what only the last step knows.

    `cluster_id` is the id of the document that stays of its cluster, null where it has no duplicate; `copies` how often
    the shards hold the document (rehydration).
    """
    columns = [
        ("id", pa.string()),
        ("url", pa.string()),
        ("date", pa.timestamp("ms", tz="UTC")),
        ("dump", pa.string()),
        ("warc_path", pa.string()),
        ("warc_offset", pa.int64()),
        ("warc_length", pa.int64()),
        ("text", pa.string()),
        ("language", pa.string()),
        ("language_score", pa.float32()),
        ("signals", signals),
        ("cluster_size", pa.int32()),
        ("cluster_id", pa.string()),
    ]
    if final:
        columns += [("pii_counts", PII_COUNTS)]
        columns += [(name, pa.int32()) for name in ("token_count", "copies")]
    return pa.schema(columns)


def document_row(doc: Document) -> DocumentRow:
    """The row of a document."""
    return {
        **place(doc),
        "date": doc.date,
        "dump": doc.dump,
        "warc_length": doc.warc_length,
        "text": doc.text,
        "language": doc.language,
        "language_score": doc.language_score,
        "signals": doc.signals or None,
        "cluster_size": doc.cluster_size,
        "cluster_id": doc.cluster_id,
        "pii_counts": [{"type": name, "count": count} for name, count in doc.pii_counts.items()],
    }


def place(doc: Any) -> Place:
    """Where a Document (or a source's Record) came from."""
    return {"id": doc.id, "url": doc.url, "warc_path": doc.warc_path, "warc_offset": doc.warc_offset}


def place_of(row: Place) -> Place:
    """Where the candidate of a row came from, without the rest of the row."""
    return {name: row[name] for name in PLACE}  # type: ignore[return-value]  # of a TypedDict no key is left out


def dropped_row(where: Place, step: str, stage: str, drop: Drop, text: str | None = None) -> DroppedRow:
    """A row of `dropped`."""
    return {**where, "step": step, "stage": stage, "reason": drop.reason, "value": drop.value,
            "limit": drop.limit, "detail": drop.detail, "text": text}  # fmt: skip


def quarantine_row(where: Place, step: str, stage: str, cause: str, seconds: float | None = None) -> QuarantineRow:
    """A row of `quarantine`."""
    return {**where, "step": step, "stage": stage, "cause": cause, "seconds": seconds}


def read_documents(path: Path, first_row: int = 0) -> Iterator[Document]:
    """The documents of a part, in order, from row `first_row` on; `path` is a file this tokenmill wrote."""
    row = 0
    for batch in pq.ParquetFile(path).iter_batches(READ_BATCH):
        if row + len(batch) > first_row:
            for values in batch.slice(max(0, first_row - row)).to_pylist():
                yield _document(values)
        row += len(batch)


def write_empty_part(folder: Path, schema: pa.Schema) -> None:
    """Make sure that `folder` holds at least one part, so that readers of `part-*.parquet` find the columns."""
    if not any(folder.glob("part-*.parquet")):
        write_table(folder / EMPTY_PART, schema.empty_table())


def _document(row: dict[str, Any]) -> Document:
    signals: Mapping[str, Mapping[str, float] | None] = row["signals"] or {}
    measured = {stage: values for stage, values in signals.items() if values is not None}
    return Document(**{**row, "signals": measured})
