"""Step 4: documents to token shards: scrub, decontaminate, encode, shuffle, write.

documents -> stages of `tokenize` -> OUT/documents + spools          one task per part
spools -> shards of one global, seeded order -> OUT/tokens           one task per shard
"""

import dataclasses
from collections.abc import Generator, Iterator, Sequence

import pyarrow as pa

from pipeline.contract.shards import Tokens
from pipeline.document import Drop, Stage
from pipeline.engine.isolation import Begin, guarded
from pipeline.engine.ledger import Commit, FileEntry
from pipeline.steps.context import Commits, Context, Part, StageWork
from pipeline.steps.parts import Outcome, PartFiles, PartWriter, open_chain, run_documents
from pipeline.steps.registry import TOKENIZE
from pipeline.steps.tables import DocumentRow, FinalRow, document_schema, dropped_row, place_of
from pipeline.steps.tokenize.shards import write_shards
from pipeline.storage.files import write_atomic
from pipeline.tokens.rehydrate import Rehydrate
from pipeline.tokens.shuffle import write_spool
from pipeline.tokens.tokenizer import load_tokenizer

SPOOLS = f"steps/{TOKENIZE.name}/spools"
SPOOL_SCHEMA = pa.schema(
    [("id", pa.string()), ("url", pa.string()), ("warc_path", pa.string()), ("warc_offset", pa.int64()),
     ("repeat", pa.int64())]
)  # fmt: skip
REHYDRATE = "rehydrate"
"""The stage in `dropped` of documents that a weight below 1 left out."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Encoding:
    """What decides the ids and their order."""

    tokenizer: str
    """Path of the tokenizer.json."""
    end_of_text: str | None
    seed: int
    tokens_per_shard: int
    rehydrate: Rehydrate | None = None
    """How often a document is written; None writes each once."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TokenizeTask:
    """One part of step 3."""

    key: str
    part: Part
    signals: pa.DataType
    encoding: Encoding
    work: StageWork


def run(
    context: Context, parts: Sequence[Part], stages: tuple[Stage, ...], signals: pa.DataType, encoding: Encoding
) -> Commits:
    """The commits of the step, one per part; the shards and their manifest are written too."""
    work = context.stage_work(stages)
    tasks = [TokenizeTask(key=part.key, part=part, signals=signals, encoding=encoding, work=work) for part in parts]
    commits = context.run(TOKENIZE.name, tokenize, tasks)
    spools = [context.out / entry.path for commit in commits.values() if (entry := commit.file(SPOOLS))]
    total = sum(commit.counts.get("tokens", 0) for commit in commits.values())
    tokenizer = load_tokenizer(encoding.tokenizer, encoding.end_of_text).info
    write_shards(context, spools, total, tokenizer, seed=encoding.seed, tokens_per_shard=encoding.tokens_per_shard)
    return commits


def tokenize(task: TokenizeTask) -> Commit:
    """Do one part and commit it."""
    work, encoding = task.work, task.encoding
    schema = document_schema(task.signals, final=True)
    writer = PartWriter(work, PartFiles(step=TOKENIZE.name, key=task.key, documents=TOKENIZE.folder, schema=schema))
    copies: list[int] = []
    writer.add_all(_weighted(guarded(pages, task, work.limits, isolate=work.isolate), task, copies))
    tokenizer = load_tokenizer(encoding.tokenizer, encoding.end_of_text)
    tokens = tokenizer.encode_documents([row["text"] for row in writer.kept])
    kept = [
        FinalRow(**row, token_count=len(ids), copies=times)
        for row, ids, times in zip(writer.kept, tokens, copies, strict=True)
    ]
    spool = _write_spool(task, kept, tokens)
    counts = {
        "tokens": sum(row["copies"] * row["token_count"] for row in kept),
        "repeats": sum(row["copies"] - 1 for row in kept),
    }
    return writer.publish(read=task.part.rows, documents=kept, more_files=[spool], more_counts=counts)


def _weighted(outcomes: Iterator[Outcome], task: TokenizeTask, copies: list[int]) -> Generator[Outcome, None, None]:
    """The outcomes; how often each kept document is written goes to `copies`, and one that never is is dropped."""
    rehydrate = task.encoding.rehydrate
    for outcome in outcomes:
        row, number = outcome.kept, 1
        if row is not None and rehydrate:
            number = rehydrate.copies(row["id"], row["cluster_size"], task.encoding.seed)
            if number == 0:
                outcome = _left_out(outcome, row, rehydrate, task)
        if outcome.kept is not None:
            copies.append(number)
        yield outcome


def _left_out(outcome: Outcome, row: DocumentRow, rehydrate: Rehydrate, task: TokenizeTask) -> Outcome:
    """The outcome of a document that its weight leaves out."""
    drop = Drop("left_out", value=row["cluster_size"], limit=rehydrate.weight(row["cluster_size"]))
    text = row["text"] if task.work.dropped_text else None
    dropped = dropped_row(place_of(row), TOKENIZE.name, REHYDRATE, drop, text)
    counts = {**outcome.counts, f"dropped.{REHYDRATE}.{drop.reason}": 1}
    return dataclasses.replace(outcome, kept=None, dropped=dropped, counts=counts)


def _write_spool(task: TokenizeTask, rows: Sequence[FinalRow], tokens: list[Tokens]) -> FileEntry:
    places = pa.Table.from_pylist([{**row, "repeat": row["copies"]} for row in rows], SPOOL_SCHEMA)
    name = f"{SPOOLS}/part-{task.key}.parquet"
    info = write_atomic(task.work.out / name, lambda path: write_spool(path, places, tokens, task.encoding.seed))
    return FileEntry(path=name, bytes=info.bytes, sha256=info.sha256, rows=len(rows))


def pages(task: TokenizeTask, resume: int | None, begin: Begin) -> Iterator[tuple[int, Outcome]]:
    """The PageFunction of this step."""
    chain = open_chain(TOKENIZE.name, task.work)
    return run_documents(task.part.path, resume or 0, begin, chain.run, chain)
