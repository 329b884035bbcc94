"""Tables built without pandas are those that pyarrow builds."""

import datetime
import subprocess
import sys
from typing import Any

import pyarrow as pa
import pytest

from pipeline.steps.columns import to_table
from pipeline.steps.tables import PII_COUNTS

ZONE = datetime.timezone(datetime.timedelta(hours=2))
COLUMNS: dict[str, tuple[pa.DataType, list[Any]]] = {
    "text": (pa.string(), ["a", None, "", "é😀\0"]),
    "count": (pa.int64(), [0, -1, None, 2**62]),
    "small": (pa.int32(), [1, 2, 3, -(2**31)]),
    "score": (pa.float64(), [0.1, None, 3, float("inf")]),
    "single": (pa.float32(), [0.1, 0.2, 1, None]),
    "date": (
        pa.timestamp("ms", tz="UTC"),
        [
            datetime.datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=datetime.UTC),
            datetime.datetime(2024, 3, 1, 1, tzinfo=ZONE),
            None,
            datetime.datetime(1969, 12, 31),
        ],
    ),
    "signals": (
        pa.struct(
            [("a", pa.struct([("x", pa.float64()), ("y", pa.float64())])), ("b", pa.struct([("z", pa.float64())]))]
        ),
        [{"a": {"x": 1.0, "y": 2.0}, "b": {"z": 3.0}}, None, {"a": {"x": 1.0}}, {"b": None}],
    ),
    "pii": (PII_COUNTS, [[{"type": "EMAIL", "count": 2}, {"type": "IP", "count": 1}], [], None, [{"type": "IP"}]]),
    "flag": (pa.bool_(), [True, None, False, True]),
    "names": (pa.list_(pa.string()), [["a"], None, [], ["b", None]]),
}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("size", [4, 1, 0])
def test_a_column_is_what_pyarrow_makes_of_it(name: str, size: int) -> None:
    kind, values = COLUMNS[name]
    schema = pa.schema([(name, kind)])
    rows = [{name: value} for value in values[:size]]
    found, expected = to_table(rows, schema), pa.Table.from_pylist(rows, schema)
    found.validate(full=True)
    assert found == expected
    assert [column.null_count for column in found.columns] == [column.null_count for column in expected.columns]


def test_a_missing_key_is_null_and_an_unknown_one_left_out() -> None:
    schema = pa.schema([("a", pa.string()), ("b", pa.int64())])
    assert to_table([{"b": 1, "c": 2}, {}], schema).to_pylist() == [{"a": None, "b": 1}, {"a": None, "b": None}]


def test_lone_surrogates_become_question_marks() -> None:
    assert to_table([{"a": "x\ud800y"}], pa.schema([("a", pa.string())])).to_pylist() == [{"a": "x?y"}]


@pytest.mark.parametrize(("kind", "value"), [(pa.int32(), 2**31), (pa.float64(), "x")])
def test_what_does_not_fit_is_refused(kind: pa.DataType, value: object) -> None:
    with pytest.raises((pa.ArrowInvalid, ValueError, OverflowError)):
        to_table([{"a": value}], pa.schema([("a", kind)]))


def test_pandas_is_not_imported() -> None:
    program = (
        "import sys, datetime, pyarrow as pa; from pipeline.steps.columns import to_table\n"
        "from pipeline.steps.tables import DROPPED_SCHEMA, document_schema\n"
        "schema = document_schema(pa.struct([('a', pa.struct([('b', pa.float64())]))]), final=True)\n"
        "found = [{'type': 'a', 'count': 1}]\n"
        "to_table([{'id': 'x', 'date': datetime.datetime.now(datetime.UTC), 'pii_counts': found}], schema)\n"
        "to_table([{'id': 'x', 'value': 1}], DROPPED_SCHEMA)\n"
        "assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
