"""Rows to arrow columns, straight into their buffers.

`pa.array` asks of any list whether it is a pandas object, and so imports pandas where that is installed: 0.25 s of CPU
and 50 MB in each process that writes a table. The types that our tables consist of are built here; others go there.
"""

import calendar
import datetime
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa


def to_table(rows: Sequence[Mapping[str, object]], schema: pa.Schema) -> pa.Table:
    """Rows as a table: a key that a row lacks is null; what UTF-8 cannot hold (lone surrogates) becomes `?`.

    Raises:
        pyarrow.ArrowInvalid, ValueError, OverflowError: a value that does not fit its column.
    """
    columns = [_column([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_string(kind):
        return _strings(values, kind)
    if pa.types.is_integer(kind) or pa.types.is_float32(kind) or pa.types.is_float64(kind):
        return _numbers(values, kind)
    if pa.types.is_timestamp(kind) and kind.unit == "ms":
        milliseconds = [None if value is None else _milliseconds(value) for value in values]
        return pa.Array.from_buffers(kind, len(values), _numbers(milliseconds, pa.int64()).buffers())
    if pa.types.is_struct(kind):
        return _structs(values, kind)
    if pa.types.is_list(kind):
        return _lists(values, kind)
    return pa.array(values, kind)


def _strings(values: list[str | None], kind: pa.DataType) -> pa.Array:
    texts = [b"" if value is None else value.encode("utf-8", "replace") for value in values]
    if sum(map(len, texts)) > np.iinfo(np.int32).max:
        return pa.array(values, kind)  # says so
    data = pa.py_buffer(b"".join(texts))
    return pa.Array.from_buffers(kind, len(values), [_validity(values), _offsets(map(len, texts)), data])


def _numbers(values: list[Any], kind: pa.DataType) -> pa.Array:
    dtype = np.dtype(kind.to_pandas_dtype())
    if dtype.kind == "i" and not all(value is None or isinstance(value, int) for value in values):
        return pa.array(values, kind)  # its own rules for fractions
    filled = np.array([0 if value is None else value for value in values], dtype)
    return pa.Array.from_buffers(kind, len(values), [_validity(values), pa.py_buffer(filled)])


def _milliseconds(moment: datetime.datetime) -> int:
    """Milliseconds since 1970; a moment without a time zone is taken for UTC."""
    return calendar.timegm(moment.utctimetuple()) * 1000 + moment.microsecond // 1000


def _structs(values: list[Mapping[str, Any] | None], kind: pa.DataType) -> pa.Array:
    fields = [kind.field(number) for number in range(kind.num_fields)]
    children = [_column([value and value.get(field.name) for value in values], field.type) for field in fields]
    return pa.Array.from_buffers(kind, len(values), [_validity(values)], children=children)


def _lists(values: list[Sequence[Any] | None], kind: pa.DataType) -> pa.Array:
    items = _column(list(itertools.chain.from_iterable(value or () for value in values)), kind.value_type)
    sizes = (len(value or ()) for value in values)
    return pa.Array.from_buffers(kind, len(values), [_validity(values), _offsets(sizes)], children=[items])


def _offsets(sizes: Any) -> pa.Buffer:
    return pa.py_buffer(np.fromiter(itertools.accumulate(sizes, initial=0), np.int32))


def _validity(values: Sequence[Any]) -> pa.Buffer | None:
    """A bit for each value that is there; None where all are."""
    there = [value is not None for value in values]
    return None if all(there) else pa.py_buffer(np.packbits(there, bitorder="little"))
