"""Files that appear whole or not at all."""

import errno
import hashlib
import os
import random
import resource
import signal
import stat as modes
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.contract.errors import InputError, UserError
from pipeline.storage import files
from pipeline.storage.files import (
    FileInfo,
    FileStat,
    exists,
    link_or_copy,
    list_files,
    open_read,
    read_bytes,
    remove,
    stat,
    write_atomic,
    write_table,
)

NOISE = pa.table({"noise": [random.Random(n).randbytes(20) for n in range(9000)]})
TABLE = pa.table({"id": [f"{n}" for n in range(25_000)], "value": list(range(25_000))})


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("content", [b"content", lambda path: path.write_bytes(b"content")])
def test_a_file_is_written_with_its_folders(tmp_path, content):
    path = tmp_path / "a/b/c.bin"
    assert write_atomic(path, content) == FileInfo(
        path=str(path), bytes=7, sha256=hashlib.sha256(b"content").hexdigest()
    )
    assert path.read_bytes() == b"content" and names_in(path.parent) == ["c.bin"]
    write_atomic(path, b"other")
    assert path.read_bytes() == b"other"


def test_a_failed_write_leaves_what_was_there_and_no_rest(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"before")

    def fail(temporary):
        temporary.write_bytes(b"half")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_atomic(path, fail)
    assert path.read_bytes() == b"before" and names_in(tmp_path) == ["x"]


def test_a_kill_in_the_middle_leaves_no_file_of_that_name(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from pipeline.storage.files import write_atomic\n"
        "def write(path): path.write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomic(Path(sys.argv[1]) / 'x', write)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "x").exists() and [name.endswith(".tmp") for name in names_in(tmp_path)] == [True]
    assert list_files(tmp_path) == []


def test_tables_have_the_same_bytes_every_time(tmp_path):
    one, two = write_table(tmp_path / "1.parquet", TABLE), write_table(tmp_path / "2.parquet", TABLE)
    assert one.sha256 == two.sha256 == hashlib.sha256((tmp_path / "1.parquet").read_bytes()).hexdigest()
    found = pq.ParquetFile(tmp_path / "1.parquet")
    assert found.read().equals(TABLE)
    assert found.metadata.num_row_groups == 3 and found.metadata.row_group(0).column(0).compression == "ZSTD"


def test_batches_are_written_as_they_come(tmp_path):
    batches = (TABLE.slice(at, 1000).to_batches()[0] for at in range(0, 25_000, 1000))
    write_table(tmp_path / "x.parquet", batches, schema=TABLE.schema)
    assert pq.read_table(tmp_path / "x.parquet").equals(TABLE)
    write_table(tmp_path / "none.parquet", [], schema=TABLE.schema)
    assert pq.read_table(tmp_path / "none.parquet").schema == TABLE.schema
    with pytest.raises(ValueError, match="batches need a schema"):
        write_table(tmp_path / "y.parquet", [])


def test_a_folder_that_may_not_be_written_is_the_users_mistake(tmp_path):
    tmp_path.chmod(modes.S_IRUSR | modes.S_IXUSR)
    folder = "/sys" if os.geteuid() == 0 else str(tmp_path)  # root may write anywhere but there
    with pytest.raises(UserError) as error:
        write_atomic(f"{folder}/run/x", b"")
    assert error.value.place == f"{folder}/run/x"
    assert error.value.problem in ("cannot be written: Permission denied", "cannot be written: Operation not permitted")
    assert error.value.hint == "give a folder you may write to, or change its permissions"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_a_disk_that_refuses_is_the_users_mistake(tmp_path, number):
    def refuse(temporary):
        temporary.write_bytes(b"half")
        raise OSError(number, os.strerror(number))

    with pytest.raises(UserError) as error:
        write_atomic(tmp_path / "x", refuse)
    assert (error.value.place, error.value.problem) == (
        str(tmp_path / "x"),
        f"cannot be written: {os.strerror(number)}",
    )
    assert error.value.hint and names_in(tmp_path) == []


def test_a_disk_that_is_really_full(tmp_path):
    """A limit on the size of files makes the kernel refuse in the middle of a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(UserError, match="cannot be written: File too large"):
            write_atomic(tmp_path / "x", bytes(60_000))
        with pytest.raises(UserError, match="cannot be written"):
            write_table(tmp_path / "x.parquet", NOISE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names_in(tmp_path) == []


def test_a_file_in_the_way_of_a_folder(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError) as error:
        write_atomic(tmp_path / "file/x", b"")
    assert error.value.place == str(tmp_path / "file/x")


def test_what_a_writer_cannot_read_is_not_blamed_on_the_target(tmp_path):
    with pytest.raises(UserError) as error:
        write_atomic(tmp_path / "x", lambda path: (tmp_path / "missing").read_bytes())
    assert error.value.place == str(tmp_path / "missing")


def test_reading(tmp_path):
    (tmp_path / "x").write_bytes(b"0123456789")
    assert read_bytes(tmp_path / "x") == b"0123456789"
    with open_read(str(tmp_path / "x")) as source:
        assert (source.seek(4), source.read(3), source.tell()) == (4, b"456", 7)
    assert stat(tmp_path / "x") == FileStat(path=str(tmp_path / "x"), bytes=10)
    assert exists(tmp_path / "x") and not exists(tmp_path / "y")
    remove(tmp_path / "x")
    remove(tmp_path / "x")
    for call in (open_read, read_bytes, stat):
        with pytest.raises(InputError, match="does not exist"):
            call(tmp_path / "x")
    with pytest.raises(InputError, match="Is a directory"):
        read_bytes(tmp_path)


def test_listing_is_sorted_and_leaves_hidden_files_out(tmp_path):
    for name in ("b/2", "a", "b/1", ".x/3", "b/.y", "c*d"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")

    def names(pattern):
        return [item.path.removeprefix(f"{tmp_path}/") for item in list_files(pattern)]

    assert names(tmp_path) == names(f"{tmp_path}/**") == ["a", "b/1", "b/2", "c*d"]
    assert names(f"{tmp_path}/b/*") == ["b/1", "b/2"]
    assert names(f"{tmp_path}/c*d") == ["c*d"]
    assert names(f"{tmp_path}/none*") == []


def test_local_paths_never_touch_fsspec(tmp_path):
    code = (
        "import sys; from pathlib import Path; from pipeline.storage.files import *; p = Path(sys.argv[1]) / 'x'\n"
        "write_atomic(p, b'1'); read_bytes(p); list_files(p); stat(p); remove(p)\n"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('fsspec', 's3fs', 'aiohttp', 'botocore')))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_a_second_name_is_the_same_file_also_when_it_is_given_again(tmp_path):
    source, target = tmp_path / "a", tmp_path / "folder" / "b"
    source.write_bytes(b"abc")
    for _ in range(2):
        link_or_copy(source, target)
        assert target.samefile(source)
        assert [path.name for path in target.parent.iterdir()] == ["b"]


def test_where_there_are_no_links_it_is_a_copy(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").write_bytes(b"what was there")
    link_or_copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"abc" and not (tmp_path / "b").samefile(tmp_path / "a")


def test_a_second_name_that_cannot_be_given_is_the_users_mistake(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    with pytest.raises(UserError, match="cannot be written"):
        link_or_copy(tmp_path / "a", tmp_path / "a" / "b")


def test_every_public_name_is_there():
    assert all(hasattr(files, name) for name in files.__all__)


@pytest.mark.parametrize("path", [".", "/"])
def test_a_folder_is_no_file_to_write(path):
    with pytest.raises(UserError, match="cannot be written: is a folder"):
        write_atomic(path, b"x")
