"""Files as a run reads and writes them: local paths at once, `s3://`, `https://`, `gs://` ... through fsspec.

Whatever is written appears whole or not at all: on a disk under a name unique to the attempt and then renamed, on an
object store as one put. A plain local path never touches fsspec.
"""

import dataclasses
import errno
import glob
import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract.errors import InputError, UserError
from pipeline.storage.remote import DEFAULTS, RangeReader, RemoteSettings, is_remote, remote

__all__ = [
    "FileInfo",
    "FileStat",
    "copy_in",
    "exists",
    "is_remote",
    "link_or_copy",
    "list_files",
    "open_read",
    "read_bytes",
    "remove",
    "stat",
    "write_atomic",
    "write_table",
]  # fmt: skip

ROW_GROUP_ROWS = 10_000
COMPRESSION_LEVEL = 3
_MULTI = "*?["

_HINTS = {
    errno.ENOSPC: "free some space or write elsewhere; what was committed before is intact",
    errno.EDQUOT: "free some space or write elsewhere; what was committed before is intact",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f), or write smaller parts",
    errno.EROFS: "give a folder on a disk that can be written",
    errno.EACCES: "give a folder you may write to, or change its permissions",
    errno.EPERM: "give a folder you may write to, or change its permissions",
    errno.ENOTDIR: "a part of this path is a file: give another folder",
    errno.ENAMETOOLONG: "give a shorter path",
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FileInfo:
    """A file just written."""

    path: str
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FileStat:
    """A file that is there."""

    path: str
    bytes: int
    etag: str | None = None
    """What an object store names its content by; None for a local file."""


def open_read(path: str | Path, settings: RemoteSettings = DEFAULTS) -> BinaryIO:
    """A file opened for reading, seekable, unbuffered where local.

    Raises:
        InputError: it is missing, may not be read, or the store keeps failing.
    """
    if is_remote(path):
        return cast(BinaryIO, RangeReader(str(path), settings))
    with _readable(path):
        return cast(BinaryIO, Path(path).open("rb", buffering=0))


def read_bytes(path: str | Path, settings: RemoteSettings = DEFAULTS) -> bytes:
    """All of a file; raises InputError as `open_read` does."""
    with open_read(path, settings) as source, _readable(path):
        return source.read()


def exists(path: str | Path, settings: RemoteSettings = DEFAULTS) -> bool:
    """Whether there is a file or folder; raises InputError when a store cannot be asked."""
    return remote(path, settings).exists() if is_remote(path) else Path(path).exists()


def stat(path: str | Path, settings: RemoteSettings = DEFAULTS) -> FileStat:
    """Size and etag of a file; raises InputError as `open_read` does."""
    if is_remote(path):
        size, etag = remote(path, settings).size_and_etag()
        return FileStat(path=str(path), bytes=size, etag=etag)
    with _readable(path):
        return FileStat(path=str(path), bytes=Path(path).stat().st_size)


def list_files(pattern: str | Path, settings: RemoteSettings = DEFAULTS) -> list[FileStat]:
    """The files a path, folder (all below it) or glob (`**` crosses folders) names, sorted; empty where none.

    Hidden files and folders (a leading dot) below a folder are left out, as a glob does. An http address cannot be
    listed, so it names itself; its wildcards, if any, are part of the address.
    """
    if is_remote(pattern):
        found = [FileStat(path=path, bytes=size, etag=etag) for path, size, etag in remote(pattern, settings).listing()]
        return sorted(found, key=lambda item: item.path)
    text = os.path.expanduser(pattern)  # noqa: PTH111 - `Path` would fold `a//b` and drop a leading `./`
    if os.path.isdir(text):  # noqa: PTH112
        text = os.path.join(glob.escape(text), "**")  # noqa: PTH118
    elif os.path.lexists(text):  # a name that holds a wildcard
        text = glob.escape(text)
    paths = glob.glob(text, recursive=True)  # noqa: PTH207
    return [FileStat(path=path, bytes=Path(path).stat().st_size) for path in sorted(set(paths)) if Path(path).is_file()]


def remove(path: str | Path, settings: RemoteSettings = DEFAULTS) -> None:
    """Delete a file; nothing happens where there is none."""
    if is_remote(path):
        remote(path, settings).remove()
    else:
        with _writable(path):
            Path(path).unlink(missing_ok=True)


def write_atomic(
    path: str | Path, content: bytes | Callable[[Path], object], settings: RemoteSettings = DEFAULTS
) -> FileInfo:
    """Write a file that readers see whole or not at all; folders on the way are made.

    Args:
        path: where it goes; a file already there is replaced.
        content: the bytes, or a function that writes the file it is handed (a local path that does not exist yet).
        settings: of the object store.

    Raises:
        UserError: the disk is full, the folder cannot be written, the store refuses.
    """
    if is_remote(path):
        with tempfile.TemporaryDirectory(prefix="tokenmill-") as folder:
            temporary = Path(folder) / "upload"
            info = _fill(temporary, str(path), content)
            remote(path, settings).put(temporary)
            return info
    target = Path(path)
    if not target.name:  # `.` or a root
        raise UserError(str(path), "cannot be written: is a folder")
    temporary = _temporary(target)
    with _writable(path):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            info = _fill(temporary, str(path), content)
            _sync(temporary)
            temporary.replace(target)
            return info
        except OSError as error:
            if error.filename is None or Path(error.filename) in (temporary, target, *target.parents):
                raise
            raise UserError(str(error.filename), f"{error.strerror}, while {path} was written") from error
        finally:
            _discard(temporary)


def copy_in(local: Path, path: str | Path, settings: RemoteSettings = DEFAULTS) -> None:
    """Put a copy of a local file at `path`, whole or not at all; raises UserError as `write_atomic` does."""
    if is_remote(path):
        remote(path, settings).put(local)
    else:
        write_atomic(path, lambda temporary: shutil.copyfile(local, temporary), settings)


def link_or_copy(source: Path, target: Path) -> None:
    """A local file under a second name; a copy, where the file system has no links or is another one.

    Files of a run are replaced, never changed in place, so that the two names cannot disturb each other.

    Raises:
        UserError: as of `write_atomic`.
    """
    temporary = _temporary(target)
    with _writable(target):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source, temporary)
            except OSError:
                shutil.copyfile(source, temporary)
                _sync(temporary)
            temporary.replace(target)
        finally:
            _discard(temporary)  # a rename onto another name of the same file leaves both


def write_table(
    path: str | Path, table: pa.Table | Iterable[pa.RecordBatch | pa.Table], settings: RemoteSettings = DEFAULTS,
    *, schema: pa.Schema | None = None,
) -> FileInfo:  # fmt: skip
    """Write a parquet file (zstd) atomically; the same rows give the same bytes.

    No row group is empty, as some readers fail on one (Hugging Face `datasets`): a table without rows has none.

    Args:
        path: as `write_atomic`.
        table: the rows; an iterable of batches is written as it comes, one row group at a time, and needs `schema`.
        settings: of the object store.
        schema: of the batches.
    """
    pieces = [table] if isinstance(table, pa.Table) else table
    columns = table.schema if isinstance(table, pa.Table) else schema
    if columns is None:
        raise ValueError("write_table: batches need a schema")

    def write(temporary: Path) -> None:
        with pq.ParquetWriter(
            temporary, columns, compression="zstd", compression_level=COMPRESSION_LEVEL, version="2.6"
        ) as writer:
            for piece in pieces:
                rows = piece if isinstance(piece, pa.Table) else pa.Table.from_batches([piece])
                if len(rows):
                    writer.write_table(rows, row_group_size=ROW_GROUP_ROWS)

    return write_atomic(path, write, settings)


def _temporary(target: Path) -> Path:
    """A name beside the target that no other attempt has."""
    return target.with_name(f".{target.name[:100]}.{uuid.uuid4().hex}.tmp")


def _fill(temporary: Path, name: str, content: bytes | Callable[[Path], object]) -> FileInfo:
    if callable(content):
        content(temporary)
        with temporary.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
        return FileInfo(path=name, bytes=temporary.stat().st_size, sha256=digest)
    temporary.write_bytes(content)  # buffered: a bare write to a full disk may take a part and say nothing
    return FileInfo(path=name, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def _sync(path: Path) -> None:
    """Bring the bytes to the disk before the name: a power cut must not leave a whole name on half a file."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _discard(temporary: Path) -> None:
    """Remove what is left of a failed attempt; on a disk that refuses even this, the first error says more."""
    try:
        temporary.unlink(missing_ok=True)
    except OSError as error:
        if error.errno not in _HINTS:
            raise


@contextmanager
def _writable(path: str | Path) -> Iterator[None]:
    """Turn the operating system's errors into one that names the path and gives a hint."""
    try:
        yield
    except OSError as error:
        problem = f"cannot be written: {error.strerror or error}"
        raise UserError(str(path), problem, hint=_HINTS.get(error.errno or 0)) from error


@contextmanager
def _readable(path: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        problem = "does not exist" if missing else f"cannot be read: {error.strerror or error}"
        raise InputError(str(path), problem) from error
