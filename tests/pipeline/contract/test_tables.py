"""Tables are read whole or in batches; what cannot be read is named with its file."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.contract.errors import IntegrityError
from pipeline.contract.tables import read_batches, read_table, readable


@pytest.fixture
def path(tmp_path):
    """Seven rows in row groups of five."""
    table = pa.table({"id": list("abcdefg"), "text": ["ä" * n for n in range(7)]})
    pq.write_table(table, tmp_path / "part.parquet", row_group_size=5)
    return tmp_path / "part.parquet"


def test_a_table_has_the_columns_asked_for(path):
    assert read_table(path, columns=["id"]).to_pydict() == {"id": list("abcdefg")}
    assert read_table(path)["text"].to_pylist()[3] == "äää"


def test_batches_have_at_most_so_many_rows_and_only_columns_that_are_there(path):
    batches = list(read_batches(path, ["text", "missing"], size=3))
    assert [name for batch in batches for name in batch.column_names] == ["text"] * len(batches)
    assert max(map(len, batches)) == 3
    assert [text for batch in batches for text in batch["text"].to_pylist()] == ["ä" * n for n in range(7)]


def test_a_text_that_is_not_utf8_is_found(path):
    path.write_bytes(path.read_bytes().replace("ää".encode(), b"\xc3\xa4\xc3\xc3"))
    with pytest.raises(IntegrityError, match=r"part\.parquet: cannot be read as a table"):
        read_table(path)
    with pytest.raises(IntegrityError, match=r"part\.parquet: cannot be read as a table"):
        list(read_batches(path, ["text"]))


def test_missing_files_are_named_with_the_command_that_tells_more(tmp_path):
    with pytest.raises(IntegrityError, match=r"gone\.parquet: cannot be read as a table \(.*\); `tokenmill verify`"):
        read_table(tmp_path / "gone.parquet")
    with pytest.raises(IntegrityError, match=r"gone\.parquet"):
        next(read_batches(tmp_path / "gone.parquet", ["id"]))


def test_a_long_reason_is_cut_and_stands_on_one_line(tmp_path):
    with pytest.raises(IntegrityError) as caught, readable(tmp_path / "x"):
        raise OSError("what\n  went wrong " * 100)
    assert str(caught.value).count("what went wrong") == 200 // len("what went wrong ")
    with pytest.raises(ZeroDivisionError), readable(tmp_path / "x"):  # not about the file
        1 / 0  # noqa: B018
