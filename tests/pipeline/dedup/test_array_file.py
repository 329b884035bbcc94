import numpy as np
import pytest

from pipeline.contract.errors import IntegrityError
from pipeline.dedup.array_file import ArrayFile, write_arrays

ARRAYS = {
    "a": np.arange(10, dtype=np.uint64),
    "odd": np.arange(7, dtype=np.uint8),
    "none": np.empty(0, np.uint32),
    "table": np.arange(12, dtype=np.int32).reshape(4, 3),
}


@pytest.fixture
def file(tmp_path):
    write_arrays(tmp_path / "x", ARRAYS)
    return tmp_path / "x"


def test_any_slice_comes_back(file):
    stored = ArrayFile(file)
    for name, array in ARRAYS.items():
        assert stored.rows(name) == len(array)
        assert np.array_equal(stored.read(name), array)
        assert stored.read(name).dtype == array.dtype
    assert stored.read("a", 3, 5).tolist() == [3, 4]
    assert stored.read("table", 3).tolist() == [[9, 10, 11]]
    assert stored.read("table", 4, 9).shape == (0, 3)
    assert "a" in stored
    assert "b" not in stored
    assert stored.rows("b") == 0


def test_a_file_cut_short_or_of_another_kind_is_refused(file, tmp_path):
    whole = file.read_bytes()
    for bad in (whole[:-1], whole + b"x", whole[:10], b"", b"PAR1" * 40):
        (tmp_path / "bad").write_bytes(bad)
        with pytest.raises(IntegrityError):
            ArrayFile(tmp_path / "bad")
    with pytest.raises(IntegrityError, match="No such file"):
        ArrayFile(tmp_path / "missing")
