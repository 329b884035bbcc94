"""Documents that are extracted already: rows of parquet files and lines of jsonl files."""

import contextlib
import dataclasses
import datetime
import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract.errors import InputError
from pipeline.sources.record import Gap, Record
from pipeline.sources.screen import storable
from pipeline.sources.warc.codec import codec_of
from pipeline.sources.warc.member_stream import CHUNK, MemberStream
from pipeline.sources.warc.reader import dump_of, position_id
from pipeline.storage.files import open_read
from pipeline.storage.remote import DEFAULTS, RemoteSettings

_BATCH = 256


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """Which column of a row, or key of a line, is what. Only the text has to be there."""

    text: str = "text"
    """The document."""
    url: str = "url"
    """Its address."""
    id: str = "id"
    """Its id; without one, a hash of the file's name and the row's number."""
    date: str = "date"
    """When it was fetched: a timestamp, or text in ISO 8601."""
    language: str = "language"
    """Its language, where it is known already."""
    dump: str = "dump"
    """The crawl it came from."""

    def __post_init__(self) -> None:
        if not self.text:
            raise ValueError("text: must name a column, got ''")

    def names(self) -> list[str]:
        """The columns asked for; an empty name asks for none."""
        return [name for name in dataclasses.astuple(self) if name]


DEFAULT_COLUMNS = Columns()


@dataclasses.dataclass(frozen=True, slots=True)
class _Rows:
    """Builds Records of one file's rows."""

    path: str
    dump: str
    columns: Columns

    def record(self, number: int, row: Mapping[str, Any]) -> Record:
        text = row.get(self.columns.text)
        fault = None if isinstance(text, str) else f"no_text: {type(text).__name__}"
        return Record(
            id=self._word(row, self.columns.id) or position_id(self.path, number, 0),
            url=self._word(row, self.columns.url),
            date=_date(row.get(self.columns.date)),
            dump=self.dump or self._word(row, self.columns.dump),
            warc_path=self.path,
            warc_offset=number,
            warc_length=1,
            kind="row",
            text=text if isinstance(text, str) else None,
            language=self._word(row, self.columns.language),
            fault=fault,
        )

    def broken(self, number: int, fault: str) -> Record:
        return Record(
            id=position_id(self.path, number, 0), dump=self.dump, warc_path=self.path, warc_offset=number,
            warc_length=1, kind="row", fault=fault,
        )  # fmt: skip

    @staticmethod
    def _word(row: Mapping[str, Any], column: str) -> str:
        value = row.get(column)
        return "" if value is None else storable(str(value))  # as tables hold it, by which the row is found again


def read_parquet(
    path: str,
    *,
    start: int = 0,
    dump: str = "",
    columns: Columns = DEFAULT_COLUMNS,
    settings: RemoteSettings = DEFAULTS,
    place: str | None = None,
) -> Iterator[Record | Gap]:
    """The rows of a parquet file from row `start` on; row groups before it are not read.

    What cannot be decoded of a row group is a Gap that counts its rows.

    Raises:
        InputError: the file is missing, is not parquet, or has no text column.
    """
    with open_read(place or path, settings) as source:
        try:
            table = pq.ParquetFile(pa.PythonFile(source, mode="r"))
            schema = table.schema_arrow
            names = schema.names
        except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: a column's name is not UTF-8
            raise InputError(path, f"cannot be read as parquet: {_short(error)}") from error
        _require_columns(path, columns, schema, names)
        rows = _Rows(path, dump or dump_of(path), columns)
        first = 0
        for group in range(table.num_row_groups):
            behind = first + table.metadata.row_group(group).num_rows
            if behind > start:
                yield from _row_group(table, group, range(first, behind), start, rows)
            first = behind


def _row_group(table: pq.ParquetFile, group: int, numbers: range, start: int, rows: _Rows) -> Iterator[Record | Gap]:
    wanted = [name for name in rows.columns.names() if name in table.schema_arrow.names]
    number = numbers.start
    try:
        for batch in table.iter_batches(batch_size=_BATCH, row_groups=[group], columns=wanted):
            for row in _dicts(batch):
                if number >= start:
                    yield rows.record(number, row)
                number += 1
    except (pa.ArrowException, OSError, ValueError) as error:
        at = max(number, start)
        cause = f"corrupt_row_group: {_short(error)}"
        yield Gap(warc_path=rows.path, warc_offset=at, length=numbers.stop - at, cause=cause)


def _dicts(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    columns = [_values(column) for column in batch.columns]
    for values in zip(*columns, strict=True):
        yield dict(zip(batch.schema.names, values, strict=True))


def _values(column: pa.Array) -> list[Any]:
    """The values of a column; None for a point in time, or a span, that Python cannot hold."""
    try:
        return list(column.to_pylist())
    except (OverflowError, KeyError):  # KeyError: a time zone of an unknown name
        return [_value(scalar) for scalar in column]


def _value(scalar: pa.Scalar) -> Any:
    forms = [scalar]
    if pa.types.is_timestamp(scalar.type) and scalar.type.tz is not None:
        forms.append(scalar.cast(pa.timestamp(scalar.type.unit, "UTC")))  # year 9999 is over earlier in Tokyo
    for form in forms:
        with contextlib.suppress(OverflowError, KeyError):
            return form.as_py()
    return None


def _require_columns(path: str, columns: Columns, schema: pa.Schema, names: list[str]) -> None:
    if columns.text not in names:
        raise InputError(path, f"has no column '{columns.text}'", known=names, hint="set input.columns.text")
    twice = next((name for name in columns.names() if names.count(name) > 1), None)
    if twice:
        raise InputError(path, f"has {names.count(twice)} columns '{twice}'", hint="rename all but the one to read")
    kind = schema.field(columns.text).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise InputError(path, f"column '{columns.text}' is not text but {kind}", hint="set input.columns.text")


def read_jsonl(
    path: str,
    *,
    start: int = 0,
    dump: str = "",
    columns: Columns = DEFAULT_COLUMNS,
    max_line: int = 1 << 26,
    settings: RemoteSettings = DEFAULTS,
    place: str | None = None,
) -> Iterator[Record]:
    """The lines of a jsonl file (plain, gzip or zstd), numbered from 0, from line `start` on.

    Blank lines count but yield nothing. A line that is no JSON object, not UTF-8, without text, or longer than
    `max_line` bytes is a Record with a fault, and so is the last line of a file cut off inside a compressed member.

    Raises:
        InputError: the file is missing, or not one of its lines holds the text column.
    """
    rows = _Rows(path, dump or dump_of(path), columns)
    keys: set[str] = set()
    texts = objects = 0
    with open_read(place or path, settings) as source:
        try:
            for number, line, fault in numbered_lines(source, max_line):
                if number < start or not (line.strip() or fault):
                    continue
                row = None if fault else _object(line)
                objects += isinstance(row, dict)
                if not isinstance(row, dict):
                    yield rows.broken(number, fault or row or "malformed_line")
                    continue
                texts += columns.text in row
                keys.update(list(row)[:100])
                if objects == 1000 and not texts and not start:
                    break
                yield rows.record(number, row)
        except OSError as error:
            raise InputError(path, f"cannot be read: {_short(error)}") from error
    if objects and not texts and not start:
        raise InputError(path, f"has no key '{columns.text}'", known=sorted(keys)[:50], hint="set input.columns.text")


def _object(line: bytes) -> dict[str, Any] | str:
    """The object on a line, or its fault."""
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return f"malformed_line: not UTF-8 at byte {error.start}"
    except (ValueError, RecursionError) as error:
        return f"malformed_line: {_short(error)}"
    return row if isinstance(row, dict) else f"malformed_line: {type(row).__name__} instead of an object"


def numbered_lines(source: BinaryIO, max_line: int, offset: int = 0) -> Iterator[tuple[int, bytes, str | None]]:
    """(number, line, fault) of each line from `offset` on; one longer than `max_line` comes empty and with a fault."""
    stream = MemberStream(source, offset, codec_of(source))
    number, line, too_long = 0, bytearray(), False
    while data := stream.take_in_member(CHUNK):
        *ended, rest = data.split(b"\n")
        for piece in ended:
            line += piece
            too_long = too_long or len(line) > max_line
            yield (
                number,
                b"" if too_long else bytes(line),
                f"line_too_long: over {max_line} bytes" if too_long else None,
            )
            number, too_long = number + 1, False
            line.clear()
        line += rest
        if len(line) > max_line:
            too_long = True
            line.clear()
    fault = f"line_too_long: over {max_line} bytes" if too_long else stream.damage or None
    if line or fault:
        yield number, bytes(line), fault


def _date(value: Any) -> datetime.datetime | None:
    """A point in time in UTC; None for what is none."""
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime.datetime):
        return None
    try:
        return value.replace(tzinfo=datetime.UTC) if value.tzinfo is None else value.astimezone(datetime.UTC)
    except OverflowError:
        return None


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
