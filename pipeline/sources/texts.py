"""The bare texts of files, for what needs nothing else: training a tokenizer or a classifier."""

import io
from collections.abc import Iterator, Sequence

from pipeline.contract.errors import InputError
from pipeline.sources.read import format_of, read_records
from pipeline.sources.record import Record
from pipeline.sources.rows import DEFAULT_COLUMNS, Columns
from pipeline.sources.screen import storable
from pipeline.storage.files import list_files, open_read
from pipeline.storage.remote import DEFAULTS, RemoteSettings

_PLAIN = (".txt", ".md", ".text")
_CHUNK = 1 << 20


def read_texts(
    paths: Sequence[str], *, columns: Columns = DEFAULT_COLUMNS, settings: RemoteSettings = DEFAULTS
) -> Iterator[str]:
    """The texts of jsonl, parquet, WET and plain text files, file by file in the order of their names.

    A plain text file (`.txt`, `.md`; UTF-8, wrong bytes as U+FFFD) comes in pieces of about a million characters that
    end at a line's end. Rows without a text are left out.

    Args:
        paths: files, folders, globs or addresses.
        columns: which column of a row is the text.
        settings: of remote files.

    Raises:
        InputError: a path matches nothing, a name does not say what the file is, a table has no such column.
    """
    for path in paths:
        found = [item.path for item in list_files(path, settings)]
        if not found:
            raise InputError(path, "no file matches")
        for name in found:
            yield from _plain(name, settings) if name.lower().endswith(_PLAIN) else _rows(name, columns, settings)


def _plain(path: str, settings: RemoteSettings) -> Iterator[str]:
    with open_read(path, settings) as source:
        lines = io.TextIOWrapper(io.BufferedReader(source), encoding="utf-8", errors="replace")  # type: ignore[type-var]
        while piece := lines.read(_CHUNK):
            yield piece + lines.readline(_CHUNK)


def _rows(path: str, columns: Columns, settings: RemoteSettings) -> Iterator[str]:
    for item in read_records(path, format=format_of(path), columns=columns, settings=settings):
        if isinstance(item, Record) and item.text:
            yield storable(item.text)
