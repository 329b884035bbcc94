"""Documents that are extracted already."""

import gzip
import json
import random
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from pipeline.contract.errors import InputError
from pipeline.sources import read_at, read_records
from pipeline.sources.record import Gap
from pipeline.sources.rows import Columns, read_jsonl
from pipeline.sources.warc.reader import position_id

ROWS = [
    {"id": "a", "url": "http://a.example/", "text": "one", "date": "2024-03-01T10:00:00+02:00", "language": "en"},
    {"id": None, "url": None, "text": "two", "date": "soon", "language": None},
    {"id": "c", "url": "http://c.example/", "text": "three", "date": None, "language": "de"},
]


def write(path, rows):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
    else:
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        pack = {".gz": gzip.compress, ".zst": zstandard.compress}.get(path.suffix, bytes)
        path.write_bytes(pack(lines))
    return str(path)


@pytest.mark.parametrize("name", ["x.parquet", "x.jsonl", "x.jsonl.gz", "x.jsonl.zst"])
def test_rows_become_records(tmp_path, name):
    path = write(tmp_path / name, ROWS)
    first, second, third = read_records(path)
    assert (first.id, first.url, first.text, first.language) == ("a", "http://a.example/", "one", "en")
    assert (first.kind, first.date, first.fault) == ("row", datetime(2024, 3, 1, 8, tzinfo=UTC), None)
    assert (second.id, second.url, second.date) == (position_id(path, 1, 0), "", None)
    assert [(item.warc_offset, item.warc_length) for item in (first, second, third)] == [(0, 1), (1, 1), (2, 1)]
    for start in range(4):
        assert list(read_records(path, start=start)) == [first, second, third][start:]
    assert read_at(path, 2) == third


def test_columns_by_other_names(tmp_path):
    path = write(tmp_path / "x.jsonl", [{"content": "one", "link": "u", "day": "2024-03-01", "n": 7, "snapshot": "D"}])
    (item,) = read_records(path, columns=Columns(text="content", url="link", date="day", id="n", dump="snapshot"))
    assert (item.text, item.url, item.id, item.dump, item.date) == (
        "one",
        "u",
        "7",
        "D",
        datetime(2024, 3, 1, tzinfo=UTC),
    )


def test_dates_of_every_type(tmp_path):
    days = [datetime(2024, 3, 1, 5), datetime(2024, 3, 1, 5, tzinfo=UTC), date(2024, 3, 1)]
    for column in (
        pa.array(days[:1], pa.timestamp("ns")),
        pa.array(days[1:2], pa.timestamp("ms", tz="UTC")),
        pa.array(days[2:]),
    ):
        pq.write_table(pa.table({"text": ["x"], "date": column}), tmp_path / "x.parquet")
        (item,) = read_records(str(tmp_path / "x.parquet"))
        assert item.date in (datetime(2024, 3, 1, 5, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b'{"text": "x"', "malformed_line: Expecting ',' delimiter: line 1 column 14 (char 13)"),
        (b"[1, 2]", "malformed_line: list instead of an object"),
        (b'{"text": "\xff"}', "malformed_line: not UTF-8 at byte 10"),
        (b'{"text": 5}', "no_text: int"),
        (b'{"text": null}', "no_text: NoneType"),
        (b'{"other": "x"}', "no_text: NoneType"),
        (b"[" * 100_000, "malformed_line: maximum recursion depth exceeded"),
        (b'{"text": "' + b"x" * 2000 + b'"}', "line_too_long: over 1000 bytes"),
    ],
)
def test_a_malformed_line_is_one_fault(tmp_path, line, fault):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"text": "before"}\n' + line + b'\r\n\n{"text": "after"}')
    limit = 1000 if len(line) < 10_000 else 1 << 20
    items = list(read_jsonl(str(path), max_line=limit))
    assert [(item.warc_offset, item.text) for item in items[::2]] == [(0, "before"), (3, "after")]
    assert items[1].warc_offset == 1 and items[1].fault.startswith(fault) and items[1].text is None


def test_a_cut_compressed_file_ends_in_a_fault(tmp_path):
    lines = b"".join(b'{"text": "%d"}\n' % random.Random(n).getrandbits(60) for n in range(2000))
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(lines)[:-3000])
    items = list(read_records(str(path)))
    assert len(items) > 500 and all(item.fault is None for item in items[:-1])
    assert items[-1].fault == "truncated_member"


def test_a_file_without_the_text_column_is_the_users_mistake(tmp_path):
    for name in ("x.parquet", "x.jsonl"):
        path = write(tmp_path / name, [{"body": "x", "url": "u"}] * 3)
        with pytest.raises(InputError) as error:
            list(read_records(path))
        assert "'text'" in error.value.problem and set(error.value.known) == {"body", "url"}


def test_a_text_column_of_numbers_is_the_users_mistake(tmp_path):
    path = write(tmp_path / "x.parquet", [{"text": 5}])
    with pytest.raises(InputError, match="is not text but int64"):
        list(read_records(path))


def test_a_column_that_is_there_twice_is_the_users_mistake(tmp_path):
    text = pa.array(["one", "two"])
    pq.write_table(pa.Table.from_arrays([text, text], names=["text", "text"]), tmp_path / "x.parquet")
    with pytest.raises(InputError, match="has 2 columns 'text'"):
        list(read_records(str(tmp_path / "x.parquet")))


def test_texts_in_a_dictionary_are_texts(tmp_path):
    pq.write_table(pa.table({"text": pa.array(["one", "two", "one"]).dictionary_encode()}), tmp_path / "x.parquet")
    assert [record.text for record in read_records(str(tmp_path / "x.parquet"))] == ["one", "two", "one"]


def test_a_file_that_is_no_parquet_is_the_users_mistake(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 something else")
    with pytest.raises(InputError, match="cannot be read as parquet"):
        list(read_records(str(tmp_path / "x.parquet")))


def test_a_corrupt_row_group_is_a_gap_and_the_others_are_read(tmp_path):
    rows = [{"id": f"{n}", "text": f"{random.Random(n).getrandbits(2000):x}"} for n in range(6)]
    path = tmp_path / "x.parquet"
    write(path, rows)
    data = bytearray(path.read_bytes())
    column = pq.ParquetFile(path).metadata.row_group(1).column(1)
    start = column.dictionary_page_offset or column.data_page_offset
    data[start : start + 20] = b"\xff" * 20
    path.write_bytes(data)
    items = list(read_records(str(path)))
    assert [item.id for item in items if not isinstance(item, Gap)] == ["0", "1", "4", "5"]
    gap = next(item for item in items if isinstance(item, Gap))
    assert (gap.warc_offset, gap.length, gap.cause.partition(":")[0]) == (2, 2, "corrupt_row_group")


def test_a_lone_surrogate_of_json_arrives(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b'{"text": "a\\ud800b"}')
    (item,) = read_records(str(tmp_path / "x.jsonl"))
    assert item.text == "a\ud800b"


def test_ids_and_addresses_are_as_tables_hold_them(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"text": "a", "id": "\\ud800", "url": "https://\\udfff.example"}\n')
    (record,) = read_jsonl(str(path))
    assert (record.id, record.url) == ("\ufffd", "https://\ufffd.example")
    assert read_at(str(path), 0, id=record.id).url == record.url
