"""Archives of any bytes: every byte is told of, reading goes on from any offset, and step 1 accounts for each page."""

import gzip
import itertools
import tempfile
from pathlib import Path

import seeds
from case import Case, Target, promise, refused
from mutate import mangle, repacked

from pipeline.contract.errors import TokenmillError
from pipeline.document import Document, Drop
from pipeline.engine.isolation import Unguarded
from pipeline.engine.settings import PageLimits
from pipeline.sources.listing import Input
from pipeline.sources.read import read_at, read_records
from pipeline.sources.record import Gap, Record
from pipeline.sources.screen import Screen
from pipeline.stages.main_text import MainText
from pipeline.stages.payload_digest import PayloadDigest
from pipeline.steps.context import StageWork
from pipeline.steps.extract.reading import Reading
from pipeline.steps.extract.step import ExtractTask, extract, pages

MAX_BODY = 1 << 20
_MAX_RESUMED = 4


def archive(case: Case) -> Path:
    """A damaged archive: its bytes are changed, or what its members hold, or only the content of a record."""
    draw, made = case.draw, seeds.archives()
    name = draw.choice(sorted(made))
    others = [*made.values(), *seeds.responses()]
    kind = draw.random()
    if kind < 0.5:
        return case.file(name, mangle(draw, made[name], others))
    if kind < 0.8:
        return case.file(name.split(".")[0] + ".warc.gz", b"".join(_members(case, made[name], others)))
    block = mangle(draw, draw.choice(seeds.responses()), others)
    length = str(len(block) + draw.choice((0, 0, 0, 1, -1, 100, -100)))
    wrapped = seeds.record(block, draw.choice(("response", "conversion", "revisit")), Content_Length=length)
    parts = [seeds.record(draw.choice(seeds.responses())), wrapped, seeds.record(draw.choice(seeds.responses()))]
    packed = draw.random() < 0.8
    return case.file(
        "made.warc.gz" if packed else "made.warc", b"".join(repacked(draw, p) if packed else p for p in parts)
    )


def _members(case: Case, data: bytes, others: list[bytes]) -> list[bytes]:
    """The records of an archive, one or two of them changed, each packed anew."""
    try:
        whole = gzip.decompress(data)
    except (OSError, EOFError, ValueError):
        whole = data
    parts = [b"WARC/1" + part for part in whole.split(b"WARC/1")[1:]][:40] or [whole]
    for _ in range(case.draw.choice((1, 1, 2))):
        at = case.draw.randrange(len(parts))
        parts[at] = mangle(case.draw, parts[at], others)
    return [repacked(case.draw, part) for part in parts]


def _read(case: Case) -> str:
    path = archive(case)
    items = list(read_records(str(path), max_body=MAX_BODY))
    _covers(items, path.stat().st_size)
    offsets = sorted({item.warc_offset for item in items})
    for offset in case.draw.sample(offsets, min(_MAX_RESUMED, len(offsets))):
        again = list(read_records(str(path), start=offset, max_body=MAX_BODY))
        wanted = [_known(item) for item in items if item.warc_offset >= offset]
        promise([_known(item) for item in again] == wanted, f"reads another rest from {offset} on")
    records = [item for item in items if isinstance(item, Record)]
    if records:
        wanted = case.draw.choice(records)
        first = next(item for item in records if (item.warc_offset, item.id) == (wanted.warc_offset, wanted.id))
        promise(read_at(str(path), first.warc_offset, id=first.id).id == first.id, "a pointer leads elsewhere")
    said = {_screened(item) for item in records if item.candidate}
    causes = {item.cause.partition(":")[0] for item in items if isinstance(item, Gap)}
    return ", ".join(sorted(said | causes)) or "nothing in it"


def _known(item: Record | Gap) -> object:
    """All of it; of a damaged record, which goes to quarantine, what is said there (not how far it was decoded)."""
    if isinstance(item, Gap) or not item.fault:
        return item
    return item.id, item.url, item.warc_offset, item.warc_length, item.kind, item.fault


def _covers(items: list[Record | Gap], size: int) -> None:
    """Records and gaps lie in order and leave no byte of the file out."""
    covered = 0
    for item in items:
        length = item.length if isinstance(item, Gap) else item.warc_length
        promise(length >= 0 and item.warc_offset + length <= size, f"lies outside of the file: {item!r:.300}")
        promise(item.warc_offset <= covered, f"bytes {covered} to {item.warc_offset} of {size} are not told of")
        covered = max(covered, item.warc_offset + length)
    promise(covered == size, f"bytes {covered} to {size} are not told of")
    offsets = [item.warc_offset for item in items]
    promise(offsets == sorted(offsets), "is not in the order of the offsets")


def _screened(record: Record) -> str:
    promise(len(record.body) <= MAX_BODY, "a body is longer than its bound")
    if record.fault:
        return record.fault.partition(":")[0]
    found = Screen()(record)
    if isinstance(found, Drop):
        return found.reason
    for text in (found.html, found.text):
        promise("\0" not in text, "a NUL went through the screen")
        text.encode("utf-8")
    return "page"


def _extract(case: Case) -> str:
    """A whole step 1 in this process: what was read is what came out, and a resumed task gives the same rest."""
    path = archive(case)
    with tempfile.TemporaryDirectory() as out:
        stages = (PayloadDigest(scope="split"), MainText(engine="resiliparse")) if case.draw.random() < 0.5 else ()
        task = _task(path, Path(out), stages)
        try:
            commit = extract(task)
        except TokenmillError as error:
            return refused(error)
        counts = commit.counts
        items = list(read_records(str(path)))
        candidates = sum(isinstance(item, Record) and item.candidate for item in items)
        met = sum(isinstance(item, Record) for item in items)
        promise(counts["read"] == counts["kept"] + counts["dropped"] + counts["quarantined"], f"lost: {counts}")
        promise(counts["read"] == candidates, f"{candidates} candidates, {counts['read']} read")
        promise(counts.get("records", 0) == met, f"{met} records, {counts.get('records', 0)} counted")
        promise(sum(entry.rows or 0 for entry in commit.files) == candidates, "the rows are not as many as the pages")
        _resumes(case, task)
    return ", ".join(name for name in ("kept", "dropped", "quarantined") if counts[name]) or "no page"


def _resumes(case: Case, task: ExtractTask) -> None:
    whole = list(pages(task, None, Unguarded()))
    if len(whole) < 2:
        return
    at = case.draw.randrange(len(whole) - 1)
    rest = list(pages(task, whole[at][0], Unguarded()))
    wanted = [(position, outcome.kind, outcome.row) for position, outcome in whole[at + 1 :] if outcome.row]
    found = [(position, outcome.kind, outcome.row) for position, outcome in rest if outcome.row]
    # The seconds that a page took before it failed are all that may differ.
    for *_, row in itertools.chain(wanted, found):
        row.pop("seconds", None)
    promise(found == wanted, f"resumed at {whole[at][0]}, another rest comes")


def _task(path: Path, out: Path, stages: tuple[object, ...]) -> ExtractTask:
    work = StageWork(  # type: ignore[arg-type]
        out=out, stages=stages, limits=PageLimits(), isolate=False, dropped_text=False, max_quarantined=None
    )
    source = Input(path=str(path), bytes=path.stat().st_size, format="warc")
    return ExtractTask(
        key="00000", input=source, reading=Reading(), screen=Screen(), work=work, recorded=None, copies=None
    )


def _warm_up() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.warc.gz")
        path.write_bytes(seeds.archives()["members.warc.gz"])
        found = [Screen()(item) for item in read_records(str(path)) if isinstance(item, Record) and item.candidate]
        assert any(isinstance(item, Document) for item in found)


TARGETS = (Target("archives", _read, _warm_up), Target("extract", _extract))
