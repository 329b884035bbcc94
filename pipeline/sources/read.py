"""Any source as Records: archives, and rows of documents."""

from collections.abc import Iterator
from typing import Any, Literal

from pipeline.contract.errors import InputError
from pipeline.sources.record import Gap, Record
from pipeline.sources.rows import DEFAULT_COLUMNS, Columns, read_jsonl, read_parquet
from pipeline.sources.warc.reader import MAX_BODY, read_warc
from pipeline.storage.remote import DEFAULTS, RemoteSettings

Format = Literal["warc", "parquet", "jsonl"]
"""What a file is read as. WET, WAT and ARC files are archives too: `warc`."""

SUFFIXES: dict[str, Format] = {
    ".parquet": "parquet", ".pq": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
    ".warc": "warc", ".wet": "warc", ".wat": "warc", ".arc": "warc",
}  # fmt: skip
_COMPRESSIONS = (".gz", ".zst", ".zstd")


def format_of(path: str, format: str = "auto") -> Format:
    """What a file is read as: by its name, where `format` is `auto`.

    Raises:
        InputError: the name does not tell.
    """
    if format in ("wet", "wat", "arc"):
        return "warc"
    if format in ("warc", "parquet", "jsonl"):
        return format  # type: ignore[return-value]
    if format != "auto":
        raise InputError(path, f"unknown format '{format}'", known=("auto", "warc", "wet", "parquet", "jsonl"))
    name = path.partition("?")[0].lower() if "://" in path else path.lower()
    for compression in _COMPRESSIONS:
        name = name.removesuffix(compression)
    found = next((kind for suffix, kind in SUFFIXES.items() if name.endswith(suffix)), None)
    if found is None:
        known = sorted(SUFFIXES)
        raise InputError(path, "its name does not say what it is", known=known, hint="set input.format")
    return found


def read_records(
    path: str,
    *,
    start: int = 0,
    format: str = "auto",
    dump: str = "",
    columns: Columns = DEFAULT_COLUMNS,
    max_body: int = MAX_BODY,
    settings: RemoteSettings = DEFAULTS,
    place: str | None = None,
) -> Iterator[Record | Gap]:
    """The records of a file in their order, and gaps for bytes that are none.

    Args:
        path: local, or with a scheme (`s3://`, `https://` ...).
        start: where to go on: a `warc_offset` met before (of rows: a row's number). What came at that offset and
            after it comes again, in the same order.
        format: what the file is: `auto`, `warc`, `wet`, `parquet` or `jsonl`.
        dump: the crawl's name; found in a Common Crawl path where it is not given.
        columns: which column of a row is what.
        max_body: bytes of a page kept.
        settings: of remote files.
        place: where the file is opened, if not at `path`, by which it goes in all that is said of it.

    Raises:
        InputError: the file is missing, cannot be read or is no such file (a parquet file that is damaged, a table
            without the text column). What is wrong inside an archive or in a line is a Gap or a Record's fault.
    """
    kind = format_of(path, format)
    if kind == "parquet":
        return read_parquet(path, start=start, dump=dump, columns=columns, settings=settings, place=place)
    if kind == "jsonl":
        return read_jsonl(path, start=start, dump=dump, columns=columns, max_line=max_body, settings=settings,
                          place=place)  # fmt: skip
    return read_warc(path, start=start, dump=dump, max_body=max_body, settings=settings, place=place)


def read_at(
    path: str,
    offset: int,
    *,
    id: str | None = None,
    format: str = "auto",
    dump: str = "",
    columns: Columns = DEFAULT_COLUMNS,
    settings: RemoteSettings = DEFAULTS,
    place: str | None = None,
) -> Record:
    """The record that a pointer names: the one at `offset`, and called `id` where several share it.

    `place` is where the file is opened, if not at `path`.

    Raises:
        InputError: the file cannot be read, or holds no such record.
    """
    options: dict[str, Any] = {"format": format, "dump": dump, "columns": columns, "settings": settings}
    for item in read_records(path, start=offset, place=place, **options):
        if item.warc_offset > offset:
            break
        if isinstance(item, Record) and item.warc_offset == offset and id in (None, item.id):
            return item
    raise InputError(path, f"has no record{f' {id}' if id else ''} at {offset}", hint="has the file changed since?")
