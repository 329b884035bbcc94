"""Sets of millions of names in eight bytes each, and the lists that fill them.

A set holds the sorted 64-bit hashes of its names, so that it can lie in a file which all processes of a machine map
and share. A name that is in no list is taken for one with probability n / 2^64: with 5 million names and three
look-ups for each of the 2.7 billion pages of a dump, one page in 500 dumps.
"""

import contextlib
import functools
import hashlib
import importlib.util
import mmap
import struct
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import xxhash

from pipeline.contract.errors import InputError, MissingAssetError
from pipeline.storage import assets

ARCHIVE = "url_filterblacklistsv0_3_0.tar.gz"
FORMAT = 1
"""Version of the kept files; to be raised when names are hashed or brought into form in another way."""
_MAGIC = b"tokenmill names "
_HEADER = struct.Struct("<16sQ")


class NameSet:
    """Names known by their hashes; a look-up costs half a microsecond."""

    def __init__(self, data: bytes | mmap.mmap, start: int = 0) -> None:
        """`data` from byte `start` on: sorted hashes, little-endian uint64."""
        hashes = np.frombuffer(data, dtype="<u8", offset=start)
        # A first table by the leading bits leaves some 64 hashes to search, which bytes.find does fastest.
        self._shift = 64 - max(len(hashes).bit_length() - 6, 1)
        edges = np.arange(1, 1 << (64 - self._shift), dtype=np.uint64) << np.uint64(self._shift)
        bounds = start + 8 * np.searchsorted(hashes, edges)
        self._bounds: list[int] = [start, *bounds.tolist(), start + 8 * len(hashes)]
        self._data, self._length = data, len(hashes)

    def __len__(self) -> int:
        return self._length

    def __contains__(self, name: str) -> bool:
        return self.has_hash(hash_of(name))

    def has_hash(self, hashed: int) -> bool:
        """Whether a name with the hash `hashed` is in the set."""
        bucket = hashed >> self._shift
        at, end = self._bounds[bucket], self._bounds[bucket + 1]
        pattern = hashed.to_bytes(8, "little")
        start = at
        while (at := self._data.find(pattern, at, end)) >= 0:
            if not (at - start) % 8:
                return True
            at += 1  # the end of one hash and the beginning of the next look like it
        return False


def hash_of(name: str) -> int:
    """The 64 bits a set knows a name by."""
    return xxhash.xxh3_64_intdigest(name.encode("utf-8", "surrogatepass"))


def name_set(names: Iterable[str]) -> NameSet:
    """A set in memory."""
    return NameSet(_hashes(names))


@functools.cache
def shipped_list(member: str, form: Callable[[str], str]) -> NameSet:
    """A list of the archive that the installed datatrove carries: `domains` (4.6 million) or `urls` (20,000).

    Args:
        form: brings an entry into the form it will be looked up in; a change of it needs a new FORMAT.

    Reading the archive takes seconds, so its hashes are kept as a file in the folder of assets; where that folder
    cannot be written they stay in memory.

    Raises:
        MissingAssetError: datatrove is not installed, or carries another archive.
    """
    archive = datatrove_file(ARCHIVE)
    cache = assets.folder() / f"url-{member}-{_digest(archive)[:16]}-{FORMAT}.names"
    kept = _mapped(cache)
    if kept is not None:
        return kept
    hashes = _hashes(map(form, _archived(archive, member)))
    try:
        with assets.publishing(cache) as out:
            out.write(_HEADER.pack(_MAGIC, len(hashes) // 8) + hashes)
    except OSError:
        return NameSet(hashes)
    return _mapped(cache) or NameSet(hashes)


@functools.cache
def _digest(archive: Path) -> str:
    """The SHA-256 of the archive; noted beside the lists, since reading its 18 MB costs each process 20 ms."""
    status = archive.stat()
    identity = f"{archive.absolute()} {status.st_size} {status.st_mtime_ns}"
    note = assets.folder() / f"url-archive-{hash_of(identity):016x}.sha256"
    with contextlib.suppress(OSError, ValueError):
        digest, _, noted = note.read_text("utf-8").partition(" ")
        if noted == identity and len(digest) == 64:
            return digest
    with archive.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    with contextlib.suppress(OSError), assets.publishing(note) as out:
        out.write(f"{digest} {identity}".encode("utf-8", "surrogateescape"))
    return digest


@functools.cache
def shipped_words(name: str) -> tuple[str, ...]:
    """The entries of one of datatrove's word lists, such as `banned_words.txt`, as they stand there."""
    return tuple(_entries(datatrove_file(name)))


@functools.cache
def read_list(path: str) -> tuple[str, ...]:
    """The entries of a user's list: one a line, `#` starts a comment line; `0.0.0.0 name` of hosts files is understood.

    Raises:
        InputError: the file cannot be read, is not UTF-8, or holds no entry.
    """
    try:
        entries = tuple(_entries(Path(path)))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(path, f"cannot read the list: {reason}", hint="one entry a line, in UTF-8") from error
    if not entries:
        raise InputError(path, "the list holds no entry", hint="one entry a line; lines that start with # are comments")
    return entries


def datatrove_file(name: str) -> Path:
    """A file of the installed datatrove's assets, found without importing it."""
    spec = importlib.util.find_spec("datatrove")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "assets" / name
        if path.is_file():
            return path
    raise MissingAssetError(
        name,
        "the installed datatrove does not carry this list" if spec else "this list comes with datatrove, not installed",
        hint="install tokenmill[pipeline], or set url_filter.shipped_lists to false",
    )


def _hashes(names: Iterable[str]) -> bytes:
    hashes = np.fromiter(map(hash_of, names), dtype="<u8")
    return np.unique(hashes).tobytes()


def _mapped(path: Path) -> NameSet | None:
    """The set kept in `path`; None if there is no whole one."""
    try:
        with path.open("rb") as handle:
            data = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        return None
    if len(data) < _HEADER.size:
        return None
    magic, count = _HEADER.unpack_from(data)
    complete = magic == _MAGIC and len(data) == _HEADER.size + 8 * count
    return NameSet(data, _HEADER.size) if complete else None


def _archived(archive: Path, member: str) -> Iterator[str]:
    with tarfile.open(archive, "r:gz") as tar:
        lines = tar.extractfile(member)
        if lines is None:
            raise MissingAssetError(str(archive), f"it holds no list '{member}'")
        for line in lines:
            entry = line.decode("utf-8", "replace").strip()
            if entry and not entry.startswith("#"):
                yield entry


def _entries(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8-sig") as lines:
        for line in lines:
            entry = line.strip()
            if entry and not entry.startswith("#"):
                address, _, name = entry.partition(" ")
                yield name.split("#")[0].strip() if address in ("0.0.0.0", "127.0.0.1") and name else entry  # noqa: S104
