"""Rows of strangers: parquet, jsonl, conversations. Each is met once, and reading goes on from any row."""

import datetime
import gzip
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import seeds
from case import Case, Target, promise, refused
from mutate import ODD_TEXTS, ODD_VALUES, as_json, mangle, mangle_text, mangle_tree

from pipeline.contract.errors import TokenmillError
from pipeline.document import Document
from pipeline.sources.read import read_records
from pipeline.sources.record import Gap, Record
from pipeline.sources.screen import Screen
from training.chat.conversations import Conversation, Fault, load_conversations, parse, parse_messages

_TALK = {
    "id": "a",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Two and two?"},
        {"role": "assistant", "content": "Four.", "weight": 1},
    ],
}


def _row(case: Case, number: int) -> dict[str, Any]:
    row = {"text": case.draw.choice(seeds.texts())[:300], "url": "https://site.example/", "id": f"row-{number}",
           "date": "2024-01-01T00:00:00", "language": "en", "dump": "TEST", "more": [number]}  # fmt: skip
    return dict(mangle_tree(case.draw, row)) if case.draw.random() < 0.5 else row


def _jsonl(case: Case) -> str:
    draw = case.draw
    lines = [as_json(draw, _row(case, number)) for number in range(draw.randrange(1, 8))]
    data = mangle(draw, b"\n".join(lines), lines) if draw.random() < 0.5 else b"\n".join(lines)
    packed = draw.random() < 0.3
    if packed:
        data = gzip.compress(data, mtime=0)
        data = mangle(draw, data) if draw.random() < 0.5 else data
    return _read(case, "rows.jsonl.gz" if packed else "rows.jsonl", data)


def _parquet(case: Case) -> str:
    draw = case.draw
    columns = {"text": [draw.choice((*seeds.texts(), None)) for _ in range(6)],
               "url": draw.sample(list(seeds.urls()), 6), "id": list("abcdef"),
               "date": [_date(case) for _ in range(6)], "extra": list(range(6))}  # fmt: skip
    name = draw.choice(("", "url", "id", "date", "text"))
    if name and draw.random() < 0.4:
        columns[name] = draw.choice(([[1]] * 6, [1.5] * 6, [b"\xff"] * 6, [{"a": 1}] * 6, [None] * 6, [True] * 6))
    sink = io.BytesIO()
    pq.write_table(
        pa.table(columns), sink, row_group_size=draw.choice((1, 2, 6)), compression=draw.choice(("zstd", "none"))
    )
    data = sink.getvalue()
    if draw.random() < 0.7:  # in the data, or in the table of contents at the end
        tail = draw.random() < 0.5
        at = max(0, len(data) - 900)
        data = data[:at] + mangle(draw, data[at:]) if tail else mangle(draw, data)
    return _read(case, "rows.parquet", data)


def _date(case: Case) -> Any:
    return case.draw.choice((datetime.datetime.min, datetime.datetime.max, datetime.datetime(2024, 1, 1), None))


def _read(case: Case, name: str, data: bytes) -> str:
    path = str(case.file(name, data))
    try:
        items = list(read_records(path))
    except TokenmillError as error:
        return refused(error)
    offsets = [item.warc_offset for item in items]
    promise(offsets == sorted(set(offsets)), "a row comes twice or out of order")
    if items:
        offset = case.draw.choice(offsets)
        again = list(read_records(path, start=offset))
        promise(_same(again, items[offsets.index(offset) :]), f"reads another rest from row {offset} on")
    said = {_screened(item) for item in items}
    return ", ".join(sorted(said)) or "nothing in it"


def _same(found: list[Record | Gap], wanted: list[Record | Gap]) -> bool:
    return [repr(item) for item in found] == [repr(item) for item in wanted]


def _screened(item: Record | Gap) -> str:
    if isinstance(item, Gap):
        return item.cause.partition(":")[0]
    if item.fault:
        return item.fault.partition(":")[0]
    found = Screen()(item)
    return "text" if isinstance(found, Document) else found.reason


def _conversations(case: Case) -> str:
    draw = case.draw
    tree = mangle_tree(draw, _TALK)
    if draw.random() < 0.5:
        message = {"role": draw.choice(("user", "assistant", "bot")), "content": mangle_text(draw, "Good day.")}
        tree = {"messages": [message, {"role": "assistant", "content": draw.choice(ODD_TEXTS)}]}
    line = as_json(draw, tree)
    found = parse(line, "fuzz:1")
    said = found.cause if isinstance(found, Fault) else "conversation"
    if isinstance(found, Conversation):
        promise(0 <= found.draw(17) < 1, "draws no share")
        for message in found.messages:
            message.content.encode("utf-8")
    else:
        refused(found.error())
    path = case.file("talks.jsonl", b"\n".join((json.dumps(_TALK).encode(), line.replace(b"\n", b" "), b"")))
    talks, faults = load_conversations([path], skip_bad=True)
    promise(len(talks) + sum(faults.values()) == 1 + bool(line.strip()), f"{len(talks)} and {faults} of two lines")
    try:
        parse_messages(draw.choice((tree, [tree], draw.choice(ODD_VALUES))))
    except TokenmillError as error:
        refused(error)
    return said


TARGETS = (Target("jsonl", _jsonl), Target("parquet", _parquet), Target("conversations", _conversations))
