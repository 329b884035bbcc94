"""A small stand-in for large inputs: stretches of their own bytes, from places chosen by chance, as files of their own.

A stretch of a WARC file is a run of whole members (records, where it is not compressed) copied byte for byte, so that
reading it costs what reading the file costs. Which places, depends on the seed and the names of the inputs alone.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract.errors import InputError
from pipeline.sources.listing import Input
from pipeline.sources.read import read_records
from pipeline.sources.rows import numbered_lines
from pipeline.sources.warc.codec import codec_of
from pipeline.sources.warc.member_stream import next_start
from pipeline.sources.warc.reader import open_archive
from pipeline.sources.warc.recovery import Archive
from pipeline.storage.files import open_read
from pipeline.storage.remote import DEFAULTS, RemoteSettings

PLACES = 10
"""Stretches to take: enough for an error band, few enough that a remote input costs few requests."""
_COPY = 1 << 20
_LINE = 1 << 26


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """One file of the sample."""

    path: Path
    input: Input
    """What it was taken from."""
    bytes: float
    """Bytes of the input it stands for."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """Where a stretch begins, as a share of its input, and where it must end at the latest."""

    input: Input
    start: float
    stop: float


def take_sample(
    inputs: Sequence[Input], records: int, folder: Path, *, seed: int = 0, settings: RemoteSettings = DEFAULTS
) -> list[Stretch]:
    """Stretches of the inputs, of about `records` records together, written below `folder`.

    Args:
        inputs: what is to be sampled.
        records: wanted in all; fewer where the inputs hold fewer, more where one compressed member holds many.
        folder: exists and is empty.
        seed: of the choice.
        settings: of remote inputs.

    Raises:
        InputError: an input cannot be read.
    """
    places = _places(inputs, seed)
    each = max(1, -(-records // len(places)))
    found = []
    for number, place in enumerate(places):
        item = place.input
        # The crawl's name is taken from the path, so the stretch's path must show it too.
        home = folder / (item.dump or "input")
        home.mkdir(exist_ok=True)
        path = home / f"{number:02d}-{_name(item)}"
        taken = _TAKERS[item.format](place, each, path, settings)
        if taken:
            found.append(Stretch(path=path, input=item, bytes=taken))
    return found


def _name(item: Input) -> str:
    """As the input is called; a sample of lines is never compressed."""
    name = item.path.partition("?")[0].rstrip("/").rpartition("/")[2][-80:]
    return f"{name}.jsonl" if item.format == "jsonl" else name


def _places(inputs: Sequence[Input], seed: int) -> list[_Place]:
    """PLACES places: in as many inputs where there are that many, else several in each."""
    if len(inputs) >= PLACES:
        chosen = sorted(sorted(inputs, key=lambda item: _draw(seed, item.path))[:PLACES], key=lambda item: item.path)
        return [_Place(input=item, start=0.9 * _draw(seed + 1, item.path), stop=1) for item in chosen]
    each = -(-PLACES // max(1, len(inputs)))
    return [_Place(input=item, start=(part + 0.5 * _draw(seed + part + 1, item.path)) / each,
                   stop=(part + 1) / each)
            for item in inputs for part in range(each)]  # fmt: skip


def _draw(seed: int, name: str) -> float:
    """Uniform in [0, 1), by keyed hash."""
    key = (seed % (1 << 64)).to_bytes(8, "little")
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogateescape"), key=key, digest_size=7).digest()) / (
        1 << 56
    )


def _take_archive(place: _Place, records: int, path: Path, settings: RemoteSettings) -> float:
    item = place.input
    with open_read(item.path, settings) as source:
        archive = open_archive(source, item.path)
        start = _archive_start(archive, int(place.start * item.bytes))
        stop = max(start + 1, int(place.stop * item.bytes))
        end = _archive_end(item, start, stop, records, settings)
        source.seek(start)
        _copy(iter(lambda: source.read(_COPY), b""), end - start, path)
    return end - start


def _archive_start(archive: Archive, offset: int) -> int:
    """The first record at `offset` or later; 0 where there is none, or where a dictionary may come first."""
    if offset == 0 or (archive.codec is not None and archive.codec.name == "zstd"):
        return 0
    return next_start(archive.source, offset, archive.codec, archive.head) or 0


def _archive_end(item: Input, start: int, stop: int, records: int, settings: RemoteSettings) -> int:
    """Where a stretch from `start` ends: before the first record that is too many, or that lies beyond `stop`."""
    seen: set[int] = set()
    for found in read_records(item.path, start=start, format=item.format, settings=settings):
        offset = found.warc_offset
        if offset not in seen and (len(seen) >= records or offset >= stop):
            return offset
        seen.add(offset)
    return item.bytes


def _copy(blocks: Iterator[bytes], count: int, path: Path) -> None:
    with path.open("wb") as target:
        for block in blocks:
            target.write(block[:count])
            count -= len(block)
            if count <= 0:
                return


def _take_lines(place: _Place, records: int, path: Path, settings: RemoteSettings) -> float:
    """Lines from a place on; of a compressed file, which cannot be entered in the middle, its first ones, once."""
    item = place.input
    with open_read(item.path, settings) as source, path.open("wb") as target:
        if codec_of(source) is not None:
            if place.start > 0 and place.stop < 1:
                return 0
            for _, (_, line, _) in zip(range(records), numbered_lines(source, _LINE), strict=False):
                target.write(line + b"\n")
            return source.tell()
        lines = numbered_lines(source, _LINE, int(place.start * item.bytes))
        if place.start > 0:
            next(lines, None)  # the rest of a line
        for _, (_, line, _) in zip(range(records), lines, strict=False):
            if target.tell() >= (place.stop - place.start) * item.bytes:
                break
            target.write(line + b"\n")
        return target.tell()


def _take_rows(place: _Place, records: int, path: Path, settings: RemoteSettings) -> float:
    """Rows of one row group."""
    item = place.input
    with open_read(item.path, settings) as source:
        try:
            table = pq.ParquetFile(pa.PythonFile(source, mode="r"))
            groups, rows = table.num_row_groups, table.metadata.num_rows
            if not rows:
                return 0
            group = table.read_row_group(min(int(place.start * groups), groups - 1))
        except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: a column's name is not UTF-8
            raise InputError(item.path, f"cannot be read as parquet: {error}") from error
    start = int((place.start * groups % 1) * len(group))
    taken = group.slice(start, records)
    pq.write_table(taken, path)
    return float(item.bytes * len(taken) / rows)


_TAKERS = {"warc": _take_archive, "jsonl": _take_lines, "parquet": _take_rows}
