"""Files made to keep a reader busy: its work grows with their size and no faster, and what is in them is counted."""

import gzip
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from pipeline.sources.record import Gap, Record
from pipeline.sources.warc.reader import read_warc


def warc(number: int, length: int, body: bytes = b"x" * 60, kind: str = "response") -> bytes:
    """A record that says it has `length` bytes."""
    head = f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:r{number}>\r\nContent-Length: {length}\r\n\r\n"
    return head.encode() + body + b"\r\n\r\n"


HOSTILE: dict[str, tuple[Callable[[int], bytes], int]] = {
    # what: (a file of about n bytes, n)
    "only first lines": (lambda n: b"WARC/1.0\r\n" * (n // 10), 2_000_000),
    "only first lines, packed": (lambda n: gzip.compress(b"WARC/1.0\r\n" * (n // 10), mtime=0), 2_000_000),
    "first lines and a word": (lambda n: b"WARC/1.0\r\nx\r\n" * (n // 13), 100_000),
    "first lines after NULs": (lambda n: b"\0WARC/1.0\n" * (n // 10), 200_000),
    "a header without end": (lambda n: b"WARC/1.0\r\n" + b"a: b\r\n" * (n // 6), 2_000_000),
    "headers without end in members": (lambda n: gzip.compress(b"WARC/1.0 a: b", mtime=0) * (n // 33), 200_000),
    "gzip magics": (lambda n: b"\x1f\x8b" * (n // 2), 2_000_000),
    "gzip magics with a method": (lambda n: b"\x1f\x8b\x08" * (n // 3), 30_000),
    "gzip headers": (lambda n: b"\x1f\x8b\x08\0\0\0\0\0\0\xff" * (n // 10), 100_000),
    "zstd magics": (lambda n: b"\x28\xb5\x2f\xfd" * (n // 4), 30_000),
    "empty members": (lambda n: gzip.compress(b"", mtime=0) * (n // 20), 200_000),
    "members of a byte": (
        lambda n: gzip.compress(warc(1, 10**9, b""), mtime=0) + gzip.compress(b"a", mtime=0) * (n // 21),
        100_000,
    ),
    "lengths to the end": (lambda n: b"".join(warc(i, n) for i in range(n // 160)), 200_000),
    "lengths beyond the end": (lambda n: b"".join(warc(i, 10**12) for i in range(n // 160)), 200_000),
    "one member of many records": (lambda n: gzip.compress(b"".join(warc(i, 60) for i in range(n // 160))), 300_000),
    "members cut": (lambda n: gzip.compress(warc(1, 60), mtime=0)[:40] * (n // 40), 40_000),
    "members inside members": (
        # A stored block whose length leads into the middle of another, and so on to the end of the file.
        lambda n: (gzip.compress(b"", 0, mtime=0)[:10] + b"\0\x27\1\xd8\xfeWARC/1.0\n").ljust(300, b"\0") * (n // 300),
        200_000,
    ),
}  # fmt: skip


class Work:
    """Counts what a reader does: calls, and the bytes that are searched, copied and decoded."""

    def __init__(self) -> None:
        self.units = 0

    def __call__(self, frame: FrameType, event: str, result: Any) -> None:
        if "pipeline/sources/" not in frame.f_code.co_filename:
            return
        name, local = frame.f_code.co_name, frame.f_locals
        if event == "return" and name == "find":
            found = result.start() - local["self"]._taken if result else local["end"]
            self.units += found - local["start"]
        if event != "call":
            return
        self.units += 64
        match name:
            case "peek" | "take":
                self.units += min(local["count"], len(local["self"]._decoded))
            case "feed":
                self.units += len(local["data"])
            case "push_back":
                self.units += len(local["data"]) + len(local["self"]._decoded)


def work_on(path: Path) -> tuple[int, list[Record | Gap]]:
    work = Work()
    sys.setprofile(work)
    try:
        items = list(read_warc(str(path)))
    finally:
        sys.setprofile(None)
    return work.units, items


@pytest.mark.parametrize("kind", HOSTILE)
def test_work_grows_with_the_file_and_no_faster(tmp_path, kind):
    make, size = HOSTILE[kind]
    path = tmp_path / "hostile.warc.gz"
    counted = []
    for n in (size, 2 * size):
        path.write_bytes(make(n))
        units, items = work_on(path)
        counted.append(units)
        covered = sum(item.length if isinstance(item, Gap) else item.warc_length for item in items)
        assert covered >= path.stat().st_size
    assert counted[1] < 2.3 * counted[0] + 2_000_000


@pytest.mark.parametrize(
    ("kind", "gaps"),
    [
        ("only first lines", ["junk"]),
        ("only first lines, packed", ["junk"]),
        ("first lines and a word", ["junk"]),
        ("gzip magics", ["junk"]),
        ("gzip magics with a method", ["truncated_member"]),
        ("empty members", ["empty_member"]),
    ],
)
def test_what_is_no_record_is_one_gap(tmp_path, kind, gaps):
    make, size = HOSTILE[kind]
    path = tmp_path / "hostile.warc.gz"
    path.write_bytes(make(size))
    items = list(read_warc(str(path)))
    assert [item.cause for item in items if isinstance(item, Gap)] == gaps
    assert sum(item.length for item in items if isinstance(item, Gap)) == path.stat().st_size


def test_junk_members_in_a_row_are_one_gap_and_the_records_around_them_stay(tmp_path):
    first, junk = gzip.compress(warc(1, 60), mtime=0), gzip.compress(b"no record", mtime=0)
    path = tmp_path / "a.warc.gz"
    path.write_bytes(first + junk * 1000 + first)
    items = list(read_warc(str(path)))
    assert [type(item) for item in items] == [Record, Gap, Record]
    assert (items[1].warc_offset, items[1].length, items[1].cause) == (len(first), 1000 * len(junk), "junk")


def test_a_length_beyond_the_end_of_the_file_does_not_take_the_records_behind_it(tmp_path):
    path = tmp_path / "a.warc"
    path.write_bytes(warc(1, 10**12) + warc(2, 60) + warc(3, 60))
    records = [item.id for item in read_warc(str(path), max_body=100) if isinstance(item, Record)]
    assert records == ["r1", "r2", "r3"]


def bomb(path: Path, record: bytes, zeros: int, behind: bytes) -> None:
    """A gzip member that unpacks to a record's beginning and many zeros, and a member behind it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(1 << 24)
    with path.open("wb") as sink:
        sink.write(packer.compress(record))
        for _ in range(zeros >> 24):
            sink.write(packer.compress(block))
        sink.write(packer.compress(behind) + packer.flush())


@pytest.mark.slow
@pytest.mark.parametrize("form", ["packed", "sparse"])
def test_a_body_of_two_gigabytes_is_cut_at_the_bound_in_bounded_memory(tmp_path, form):
    size = 2 << 30
    head = warc(1, size, b"HTTP/1.1 200 OK\r\n\r\n")[:-4]
    path = tmp_path / ("big.warc.gz" if form == "packed" else "big.warc")
    if form == "packed":
        bomb(path, head, size, b"\r\n\r\n")
        with path.open("ab") as sink:
            sink.write(gzip.compress(warc(2, 60)))
    else:
        with path.open("wb") as sink:
            sink.write(head)
            sink.seek(size, 1)
            sink.write(b"\r\n\r\n" + warc(2, 60))
    before = _peak()
    records = [item for item in read_warc(str(path), max_body=1 << 20) if isinstance(item, Record)]
    assert [(r.id, len(r.body)) for r in records] == [("r1", 1 << 20), ("r2", 60)]
    assert records[0].body_size is not None and records[0].body_size >= size - 100
    assert _peak() - before < 64 << 20


def _peak() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
